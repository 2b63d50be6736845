package report

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Limits of the console in the page, in bytes of HTML: its beginning and its end
// are kept.
const (
	maxHead = 1 << 20
	maxTail = 7 << 19
	maxCell = 4 << 10     // of a line, in bytes of its text
	maxRaw  = 4 * maxCell // of a line as the board sent it
	maxRow  = 8 << 20     // of a line of the recording
	maxRead = 64 << 10
)

// rowCost is what page.tmpl puts around a line's text.
const rowCost = 90

// consoleLine is a line of the console, by finish freed of its escape sequences.
type consoleLine struct {
	N      int           // from 1
	At     time.Duration // of its first byte, since power on
	Text   string
	Cut    int         // bytes that are not in Text
	Phase  string      // that began before this line, or several
	Alarm  bool        // part of a report of the kernel
	Gap    *consoleGap // between the line before and this one
	length int         // as the board sent it, with its end
}

// consoleGap is what was left out.
type consoleGap struct {
	Lines int
	Bytes int64
}

// recording is what the page keeps of a console.
type recording struct {
	Timed   bool
	Total   int    // lines
	Problem string // why it could not be read to its end

	kept     []consoleLine
	headEnd  int // kept[:headEnd] is the beginning
	headCost int
	tailFrom int // kept[headEnd:tailFrom] has been left out
	tailCost int
	gap      consoleGap

	raw    []byte // of the unfinished line
	rawAt  time.Duration
	rawLen int
}

// Lines are the lines that were kept.
func (c *recording) Lines() iter.Seq[consoleLine] { return slices.Values(c.kept) }

// readConsole reads an asciicast v2 recording, or raw bytes.
func readConsole(src io.Reader) *recording {
	c := &recording{}
	if src == nil {
		return c
	}
	buffered := bufio.NewReaderSize(src, maxRead)
	if begin, _ := buffered.Peek(len(castMark)); string(begin) == castMark {
		c.Timed = true
		c.readCast(buffered)
	} else {
		c.readRaw(buffered)
	}
	c.finish()
	return c
}

func (c *recording) readRaw(src io.Reader) {
	chunk := make([]byte, maxRead)
	for {
		n, err := src.Read(chunk)
		c.add(chunk[:n], 0)
		if err != nil {
			if !errors.Is(err, io.EOF) {
				c.Problem = err.Error()
			}
			return
		}
	}
}

// castMark begins an asciicast v2 recording (docs.asciinema.org/manual/asciicast/v2).
const castMark = `{"version": 2`

func (c *recording) readCast(src io.Reader) {
	rows := bufio.NewScanner(src)
	rows.Buffer(make([]byte, maxRead), maxRow)
	rows.Scan() // the header
	for n := 2; rows.Scan(); n++ {
		at, text, ok := castEvent(rows.Bytes())
		if !ok {
			c.Problem = "line " + strconv.Itoa(n) + " is no event of a recording"
			return
		}
		c.add(text, at)
	}
	if err := rows.Err(); err != nil {
		c.Problem = err.Error()
	}
}

// castEvent reads `[1.5, "o", "text"]`. What is no output has no text.
func castEvent(row []byte) (at time.Duration, text []byte, ok bool) {
	row, ok = bytes.CutPrefix(bytes.TrimSpace(row), []byte("["))
	stamp, row, ok2 := bytes.Cut(row, []byte(","))
	kind, row, ok3 := bytes.Cut(row, []byte(","))
	quoted, ok4 := bytes.CutSuffix(row, []byte("]"))
	seconds, err := strconv.ParseFloat(string(stamp), 64)
	if !ok || !ok2 || !ok3 || !ok4 || err != nil || seconds < 0 || seconds > 1e9 {
		return 0, nil, false
	}
	at = time.Duration(seconds * float64(time.Second))
	if !bytes.Contains(kind, []byte(`"o"`)) {
		return at, nil, true
	}
	quoted = bytes.TrimSpace(quoted)
	if len(quoted) >= 2 && quoted[0] == '"' && quoted[len(quoted)-1] == '"' && !bytes.Contains(quoted, []byte(`\`)) {
		return at, quoted[1 : len(quoted)-1], true
	}
	var unquoted string
	if json.Unmarshal(quoted, &unquoted) != nil {
		return 0, nil, false
	}
	return at, []byte(unquoted), true
}

// add takes bytes that came at a time since the recording's begin.
func (c *recording) add(text []byte, at time.Duration) {
	for len(text) > 0 {
		if c.rawLen == 0 {
			c.rawAt = at
		}
		part, rest, ended := bytes.Cut(text, []byte("\n"))
		c.raw = append(c.raw, part[:min(len(part), maxRaw-len(c.raw))]...)
		c.rawLen += len(text) - len(rest)
		text = rest
		if ended {
			c.endLine()
		}
	}
}

// endLine keeps the finished line and forgets older ones if need be.
func (c *recording) endLine() {
	c.Total++
	l := consoleLine{N: c.Total, At: c.rawAt, Text: string(c.raw), length: c.rawLen}
	c.raw, c.rawLen = c.raw[:0], 0
	c.kept = append(c.kept, l)
	cost := l.cost()
	if len(c.kept) == c.headEnd+1 && c.headCost+cost <= maxHead {
		c.headCost += cost
		c.headEnd++
		c.tailFrom = c.headEnd
		return
	}
	for c.tailCost += cost; c.tailCost > maxTail; c.tailFrom++ {
		old := &c.kept[c.tailFrom]
		c.tailCost -= old.cost()
		c.gap.Lines++
		c.gap.Bytes += int64(old.length)
		*old = consoleLine{}
	}
	if gone := c.tailFrom - c.headEnd; gone > len(c.kept)/2 {
		c.kept = slices.Delete(c.kept, c.headEnd, c.tailFrom)
		c.tailFrom = c.headEnd
	}
}

// cost is what the line, still as the board sent it, takes in the page at most.
func (l consoleLine) cost() int {
	n := rowCost
	for i := range len(l.Text) {
		switch b := l.Text[i]; {
		case b >= utf8.RuneSelf:
			n += len(string(utf8.RuneError))
		case b == '&' || b == '<' || b == '>' || b == '"' || b == '\'' || b == '+':
			n += len("&#39;")
		default:
			n++
		}
	}
	return min(n, rowCost+len("&#39;")*maxCell)
}

// finish makes the lines that were kept fit to be shown.
func (c *recording) finish() {
	if c.rawLen > 0 {
		c.endLine()
	}
	c.kept = slices.Delete(c.kept, c.headEnd, c.tailFrom)
	if c.gap.Lines > 0 && c.headEnd < len(c.kept) {
		c.kept[c.headEnd].Gap = &c.gap
	}
	for i := range c.kept {
		l := &c.kept[i]
		l.Cut = max(l.length-1-len(l.Text), 0)
		l.Text = cell(l.Text)
		if len(l.Text) > maxCell {
			end := maxCell
			for !utf8.RuneStart(l.Text[end]) {
				end--
			}
			l.Cut, l.Text = l.Cut+len(l.Text)-end, l.Text[:end]
		}
	}
}

// erased is what a program has written and then erased from a line: return, and
// EL of the whole line or of all to its right (ECMA-48, section 8.3.41).
var erased = regexp.MustCompile("^.*\r\x1b\\[[02]?K")

// cell is a line as it is matched by patterns: without escape sequences and
// control characters.
func cell(s string) string {
	if strings.Contains(s, "\x1b") {
		s = escapeSequence.ReplaceAllString(erased.ReplaceAllString(s, ""), "")
	}
	s = strings.Map(func(r rune) rune {
		if r != '\t' && unicode.IsControl(r) {
			return -1
		}
		return r
	}, s)
	return strings.TrimRight(visible(s), " ")
}
