package netboot

import (
	"bytes"
	"fmt"
	"io"
	"os"
)

// routes are the only names there are, for TFTP and HTTP alike. A name is
// compared, never opened: no board sees or reaches a path of this host.
var routes = []struct {
	name string
	// open makes the content, nil if the boot has none; base is the URL that
	// the script's files start with.
	open func(b Boot, base string) (*blob, error)
}{
	{"boot.ipxe", func(b Boot, base string) (*blob, error) {
		text, err := Script(b, base)
		if err != nil {
			return nil, err
		}
		return open(File{Data: []byte(text)})
	}},
	{"kernel", func(b Boot, _ string) (*blob, error) { return open(b.Kernel) }},
	{"initramfs", func(b Boot, _ string) (*blob, error) { return openJoined(b.Initramfs) }},
	{"dtb", func(b Boot, _ string) (*blob, error) {
		if b.DTB == nil {
			return nil, nil
		}
		return open(*b.DTB)
	}},
}

// lookup opens what name, without its leading slash, stands for; nil if nothing.
func (b *board) lookup(name, base string) (*blob, error) {
	for _, r := range routes {
		if r.name == name {
			return r.open(b.Boot, base)
		}
	}
	return nil, nil
}

// blob is an opened content.
type blob struct {
	io.ReadSeeker
	at    io.ReaderAt
	size  int64
	files []io.Closer
}

// Close closes the files beneath.
func (b *blob) Close() {
	for _, f := range b.files {
		f.Close()
	}
}

func open(f File) (*blob, error) {
	if f.Path == "" {
		r := bytes.NewReader(f.Data)
		return &blob{ReadSeeker: r, at: r, size: r.Size()}, nil
	}
	file, err := os.Open(f.Path)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%q is not a regular file", f.Path)
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return &blob{ReadSeeker: file, at: file, size: info.Size(), files: []io.Closer{file}}, nil
}

// openJoined opens files as one; nil if there are none.
func openJoined(files []File) (*blob, error) {
	if len(files) == 1 {
		return open(files[0])
	}
	if len(files) == 0 {
		return nil, nil
	}
	all := &blob{}
	var parts joined
	for _, f := range files {
		b, err := open(f)
		if err != nil {
			all.Close()
			return nil, err
		}
		parts = append(parts, part{b.at, all.size, b.size})
		all.files = append(all.files, b.files...)
		all.size = (all.size + b.size + 3) &^ 3
	}
	last := parts[len(parts)-1]
	all.size = last.start + last.size
	all.at = parts
	all.ReadSeeker = io.NewSectionReader(parts, 0, all.size)
	return all, nil
}

// joined reads several contents as one; between them are zeros.
type joined []part

type part struct {
	r           io.ReaderAt
	start, size int64
}

// ReadAt implements io.ReaderAt.
func (j joined) ReadAt(p []byte, off int64) (int, error) {
	clear(p)
	last := j[len(j)-1]
	end := last.start + last.size
	for _, q := range j {
		from, to := max(off, q.start), min(off+int64(len(p)), q.start+q.size)
		if from >= to {
			continue
		}
		if n, err := q.r.ReadAt(p[from-off:to-off], from-q.start); int64(n) < to-from {
			return int(from-off) + n, fmt.Errorf("failed to read a part of the initramfs: %w", err)
		}
	}
	if off+int64(len(p)) > end {
		return int(max(end-off, 0)), io.EOF
	}
	return len(p), nil
}
