package console

// maxLine is the longest line of cleaned text; what is longer is cut as lines.
const maxLine = 64 << 10

// markCost is what a line's mark is charged against the history's limit, so that
// a flood of empty lines is bounded as well.
const markCost = 32

// mark is where and when a line begins.
type mark struct {
	off int64 // in the cleaned text
	raw int64 // in the raw log
	at  int64 // nanoseconds since the stream was made
}

// history is the newest cleaned text: whole lines, each with its \n, then the
// unfinished one. Its memory is bounded; the oldest lines leave.
type history struct {
	limit int
	buf   []byte // buf[lo] is at offset base
	lo    int
	base  int64
	marks []mark // marks[mlo] is of line first; the last is of the unfinished line
	mlo   int
	first int
	fresh bool // no byte of the unfinished line has come
}

func newHistory(limit int) *history {
	limit = max(limit, 2*maxLine)
	return &history{
		limit: limit,
		buf:   make([]byte, 0, 2*limit+maxLine),
		marks: append(make([]mark, 0, 1024), mark{}),
		fresh: true,
	}
}

func (h *history) end() int64 { return h.base + int64(len(h.buf)-h.lo) }

// last is the number of the unfinished line.
func (h *history) last() int { return h.first + len(h.marks) - h.mlo - 1 }

func (h *history) mark(line int) *mark { return &h.marks[h.mlo+line-h.first] }

// slice is the text from offset from to offset to, as far as it is still kept;
// valid until the next put.
func (h *history) slice(from, to int64) []byte {
	from, to = max(from, h.base), min(to, h.end())
	if from >= to {
		return nil
	}
	return h.buf[h.lo+int(from-h.base) : h.lo+int(to-h.base)]
}

// open is the unfinished line.
func (h *history) open() []byte { return h.slice(h.marks[len(h.marks)-1].off, h.end()) }

// put adds text that has no newline; raw is the offset of its end in the raw log.
func (h *history) put(p []byte, raw, at int64) {
	for len(p) > 0 {
		room := maxLine - int(h.end()-h.marks[len(h.marks)-1].off)
		n := min(room, len(p))
		h.grow(n)
		h.buf = append(h.buf, p[:n]...)
		p = p[n:]
		if len(p) > 0 {
			h.newline(raw-int64(len(p)), at)
			h.fresh = false
		}
	}
}

// newline ends the line; raw is the offset of the next one in the raw log.
func (h *history) newline(raw, at int64) {
	h.grow(1)
	h.buf = append(h.buf, '\n')
	if h.mlo > 0 && len(h.marks) == cap(h.marks) && h.mlo >= len(h.marks)/2 {
		h.marks = h.marks[:copy(h.marks, h.marks[h.mlo:])]
		h.mlo = 0
	}
	h.marks = append(h.marks, mark{off: h.end(), raw: raw, at: at})
	h.fresh = true
	h.evict()
}

// size is what counts against the limit.
func (h *history) size() int { return len(h.buf) - h.lo + markCost*(len(h.marks)-h.mlo) }

// evict drops whole lines from the front until the limit is kept.
func (h *history) evict() {
	for h.mlo < len(h.marks)-1 && h.size() > h.limit {
		next := h.marks[h.mlo+1].off
		h.lo += int(next - h.base)
		h.base = next
		h.mlo++
		h.first++
	}
}

// grow makes room for n more bytes without allocating: the buffer is twice the
// limit, so that moving the text to its front costs one copy per byte.
func (h *history) grow(n int) {
	if len(h.buf)+n > cap(h.buf) {
		h.buf = h.buf[:copy(h.buf, h.buf[h.lo:])]
		h.lo = 0
	}
}
