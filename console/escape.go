package console

import "slices"

// escaped handles the byte after ESC.
func (c *cleaner) escaped(b byte) {
	switch {
	case b == '[':
		c.state = control
		c.part = append(c.part, b)
	case b == ']' || b == 'P' || b == 'X' || b == '^' || b == '_':
		c.state = command
		c.part = append(c.part, b)
	case b >= 0x20 && b <= 0x2f:
		c.state = charset
		c.part = append(c.part, b)
	case b == '<': // of a kernel line's level: no program leaves VT52 mode
		c.interrupt(escape)
		c.step(b)
	case b == 0x1b:
	case b >= 0x30 && b <= 0x7e:
		c.drop()
	default:
		c.again(b)
	}
}

// controlled handles a byte of a CSI sequence: parameters, intermediate bytes,
// then the final one. A kernel line can begin at any of them.
func (c *cleaner) controlled(b byte) {
	intermediate := c.part[len(c.part)-1] <= 0x2f
	switch {
	case b == '[': // no program ends a sequence so: a kernel line's stamp
		c.interrupt(control)
		c.step(b)
	case b >= 0x30 && b <= 0x3f && intermediate: // so what looked like CSI is a kernel line's stamp behind a lone ESC
		part := slices.Clone(c.part)
		c.part = c.part[:0]
		c.interrupt(escape)
		c.resumeAt = c.h.end()
		c.h.put(part, c.raw-1, c.at)
		c.step(b)
	case b >= 0x20 && b <= 0x3f && len(c.part) < maxEscape:
		c.part = append(c.part, b)
	case b >= 0x40 && b <= 0x7e:
		c.drop()
	default:
		c.again(b)
	}
}

// interrupt leaves a sequence, to be resumed if a kernel line follows.
func (c *cleaner) interrupt(state cleanState) {
	c.resume, c.resumeAt = state, c.h.end()
	c.resumePart = append(c.resumePart[:0], c.part...)
	c.drop()
}

// drop forgets a finished sequence.
func (c *cleaner) drop() {
	c.state = ground
	c.part = c.part[:0]
}

// again gives back a broken sequence and handles b as text.
func (c *cleaner) again(b byte) {
	c.giveBack()
	c.step(b)
}

// giveBack takes the bytes of a sequence that was none as text.
func (c *cleaner) giveBack() {
	var part [maxEscape + 1]byte
	n := copy(part[:], c.part)
	c.drop()
	for _, b := range part[:n] {
		c.step(b)
	}
}
