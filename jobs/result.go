package jobs

import "time"

// ResultSchema is the version of result.json.
const ResultSchema = 1

// Result is the outcome of a job on a board.
type Result struct {
	Schema   int           `json:"schema"`
	Job      string        `json:"job"`
	Board    string        `json:"board"`
	Model    string        `json:"model"`
	Verdict  Verdict       `json:"verdict"`
	Phase    Phase         `json:"phase"`             // the furthest phase of the attempt that decided
	Message  string        `json:"message,omitempty"` // one line: what happened, and what to do about it
	Started  time.Time     `json:"started"`
	Duration time.Duration `json:"duration_ns"`
	Images   []Image       `json:"images,omitempty"`
	Assets   []FetchedFile `json:"assets,omitempty"`
	Cmdline  string        `json:"cmdline,omitempty"`
	Guest    Guest         `json:"guest"`
	Attempts []Attempt     `json:"attempts"`
}

// Guest is what the board said of itself.
type Guest struct {
	Kernel         string `json:"kernel,omitempty"` // of its "Linux version" line
	Boot2container string `json:"boot2container,omitempty"`
	Machine        string `json:"machine,omitempty"`
}

// Image is a container image that a job used.
type Image struct {
	Ref    string `json:"ref"`    // as the job names it
	Digest string `json:"digest"` // of the manifest that the board pulls
	Stale  bool   `json:"stale,omitempty"`
}

// FetchedFile is a boot asset as it was served.
type FetchedFile struct {
	Role   string `json:"role"` // kernel, initramfs, dtb
	Source string `json:"source"`
	SHA256 string `json:"sha256"`
	Size   int64  `json:"size"`
}

// Attempt is one power cycle.
type Attempt struct {
	Number   int           `json:"number"` // from 1
	Verdict  Verdict       `json:"verdict"`
	Phase    Phase         `json:"phase"`
	Message  string        `json:"message,omitempty"`
	Started  time.Time     `json:"started"`
	Duration time.Duration `json:"duration_ns"`
	Timeline []Event       `json:"timeline"`
	Cases    []Case        `json:"cases,omitempty"`
	Alarms   []Alarm       `json:"alarms,omitempty"`
	Tail     []string      `json:"tail,omitempty"` // the console's last lines
	Dropped  int           `json:"timeline_dropped,omitempty"`
}

// Event is a mark of the timeline. At is counted from power on.
type Event struct {
	At     time.Duration `json:"at_ns"`
	Phase  Phase         `json:"phase,omitempty"` // set when the event begins this phase
	Kind   string        `json:"kind"`
	Detail string        `json:"detail,omitempty"`
}

// Case is a testcase: a phase, a step, a container or an alarm.
type Case struct {
	Class    string        `json:"class"` // "boot", "steps", "containers", "alarms"
	Name     string        `json:"name"`
	Verdict  Verdict       `json:"verdict"`
	Message  string        `json:"message,omitempty"`
	Output   string        `json:"output,omitempty"`
	Duration time.Duration `json:"duration_ns"`
}

// Alarm is a report of a dying or unwell kernel, seen on the console.
type Alarm struct {
	At    time.Duration `json:"at_ns"`
	Kind  string        `json:"kind"`
	Fatal bool          `json:"fatal"`
	Title string        `json:"title"`
	Trace []string      `json:"trace,omitempty"`
}
