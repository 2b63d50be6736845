package console

import (
	"io"
	"strings"
)

// Masker stars out secrets. \r and \n within a secret do not hide it: a terminal
// wraps what is typed, and a key of several lines is printed with \r\n.
type Masker struct {
	words *automaton // nil: no secrets
	sizes []int
}

var newlines = strings.NewReplacer("\r", "", "\n", "")

// NewMasker makes a Masker of the secrets; empty ones are ignored.
func NewMasker(secrets []string) *Masker {
	m := &Masker{}
	var words [][]byte
	for _, secret := range secrets {
		if word := newlines.Replace(secret); word != "" {
			words = append(words, []byte(word))
			m.sizes = append(m.sizes, len(word))
		}
	}
	if len(words) > 0 {
		m.words = newAutomaton(words, false)
	}
	return m
}

// String returns s with every secret replaced by as many stars.
func (m *Masker) String(s string) string {
	if m.words == nil {
		return s
	}
	mask := masking{m: m}
	return string(mask.flush(mask.add(make([]byte, 0, len(s)), []byte(s))))
}

// Writer masks what is written through it, also a secret split across writes;
// Close writes what was held back and does not close w.
func (m *Masker) Writer(w io.Writer) io.WriteCloser {
	return &maskWriter{mask: masking{m: m}, w: w}
}

type maskWriter struct {
	mask masking
	w    io.Writer
	out  []byte
}

func (w *maskWriter) Write(p []byte) (int, error) {
	w.out = w.mask.add(w.out[:0], p)
	if _, err := w.w.Write(w.out); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (w *maskWriter) Close() error {
	w.out = w.mask.flush(w.out[:0])
	_, err := w.w.Write(w.out)
	return err
}

// masking is a Masker at work on one stream. It holds bytes back only while they
// are the beginning of a secret.
type masking struct {
	m     *Masker
	state uint32
	held  []byte
	size  int // bytes of held that are not newlines
}

// add appends to dst what may go out once p has come, as many bytes as came in.
func (k *masking) add(dst, p []byte) []byte {
	words := k.m.words
	if words == nil {
		return append(dst, p...)
	}
	from := 0 // what of p did not go out or into held yet
	for i, b := range p {
		newline := b == '\r' || b == '\n'
		if !newline {
			k.state = words.step(k.state, b)
		}
		if k.state == 0 && len(k.held) == 0 {
			continue
		}
		if len(k.held) == 0 {
			if newline {
				continue
			}
			dst = append(dst, p[from:i]...)
		}
		k.held = append(k.held, b)
		if !newline {
			k.size++
		}
		from = i + 1
		dst = k.settle(dst, newline)
	}
	if len(k.held) == 0 {
		dst = append(dst, p[from:]...)
	}
	return dst
}

// settle stars a secret that ends at the last byte and lets out what can be part
// of none any more.
func (k *masking) settle(dst []byte, newline bool) []byte {
	if !newline && k.state&accepting != 0 {
		size := 0
		for _, word := range k.m.words.at(k.state) {
			size = max(size, k.m.sizes[word])
		}
		k.star(size)
	}
	keep := k.m.words.held(k.state)
	if len(k.held) > 2*keep+maxEscape { // newlines only: no terminal wraps so
		return k.flush(dst)
	}
	out := 0
	for k.size > keep || out < len(k.held) && isNewline(k.held[out]) {
		if !isNewline(k.held[out]) {
			k.size--
		}
		out++
	}
	dst = append(dst, k.held[:out]...)
	k.held = k.held[:copy(k.held, k.held[out:])]
	return dst
}

// star replaces the last n bytes held that are not newlines.
func (k *masking) star(n int) {
	for i := len(k.held) - 1; i >= 0 && n > 0; i-- {
		if !isNewline(k.held[i]) {
			k.held[i] = '*'
			n--
		}
	}
}

func isNewline(b byte) bool { return b == '\r' || b == '\n' }

// flush appends what is held back; the stream then begins anew.
func (k *masking) flush(dst []byte) []byte {
	dst = append(dst, k.held...)
	k.held, k.size, k.state = k.held[:0], 0, 0
	return dst
}
