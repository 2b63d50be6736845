package guest

import (
	"cmp"
	"strings"
)

// explain gives the comments since the last result to that result or to r,
// whichever failed. If both did, the style decides; where it is unknown both get
// them, and the first its message.
func (t *tap) explain(lv *level, r *result) {
	before := lv.failed != nil && !lv.kernelStyle
	if before {
		t.tally.explain(lv.failed, lv.notes)
	}
	if !r.failed() {
		return
	}
	r.message = cmp.Or(r.message, unexplained)
	if before {
		t.tally.append(r, lv.notes)
	} else {
		t.tally.explain(r, lv.notes)
	}
}

// note keeps a comment for the result it belongs to: that of the deepest run not
// indented deeper than the comment.
func (t *tap) note(edge int, text string) {
	for i := len(t.stack) - 1; i >= 0; i-- {
		lv := t.stack[i]
		if lv.edge > edge && i > 0 {
			continue
		}
		if test, ok := strings.CutPrefix(text, "selftests: "); ok && !lv.marked {
			lv.header, lv.kernelStyle, lv.notes = tidy("selftests: "+test, maxName), true, nil
			return
		}
		lv.notes.add(text)
		t.noting = lv
		return
	}
}

// inBlock reads the YAML of TAP 13 behind a result: from "---" to "...", indented
// deeper than the result.
func (t *tap) inBlock(l tapLine, text string) bool {
	if t.block == nil {
		return false
	}
	trimmed := strings.TrimSpace(text)
	deeper := text != "" && blank(text[0]) && l.edge > t.indent
	if !t.yaml {
		if deeper && trimmed == "---" {
			t.yaml = true
			return true
		}
		return false
	}
	if deeper && trimmed == "..." {
		t.block = nil
		return true
	}
	if deeper && t.block.failed() {
		t.tally.explain(t.block, notes{tidy(trimmed, maxMessage)})
	}
	return deeper
}
