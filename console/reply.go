package console

import "context"

// reply sends the case's text, with \1 … \9 replaced by submatches.
func (e *expecting) reply(ctx context.Context, m *Match) error {
	text := expand(e.cases[m.Case].String(), m.Groups)
	if text == "" {
		return nil
	}
	if !e.opts.Deadline.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, e.opts.Deadline)
		defer cancel()
	}
	return e.c.s.Send(ctx, text)
}

// expand replaces \1 … \9 in a reply by the submatches, and \\1 by \1, in one
// pass: what the board printed is never looked at for references.
func expand(reply string, groups []string) string {
	if len(groups) < 2 {
		return reply
	}
	out := make([]byte, 0, len(reply))
	for i := 0; i < len(reply); i++ {
		rest := reply[i:]
		quoted := len(rest) > 2 && rest[0] == '\\' && rest[1] == '\\'
		digit := byte(0)
		switch {
		case quoted:
			digit = rest[2] - '0'
		case len(rest) > 1 && rest[0] == '\\':
			digit = rest[1] - '0'
		}
		switch {
		case digit == 0 || digit > 9 || int(digit) >= len(groups):
			out = append(out, rest[0])
		case quoted:
			out = append(out, rest[1:3]...)
			i += 2
		default:
			out = append(out, groups[digit]...)
			i++
		}
	}
	return string(out)
}
