package jobs

import "time"

// Job is a job file, version 1. README.md beside this file lists every key.
type Job struct {
	// Version of the job language: 1.
	Version int `yaml:"version" strict:"required"`
	// Name of the job, used for its output directory and in reports: letters,
	// digits and ._- , at most 64, the first one a letter or a digit.
	Name string `yaml:"name" strict:"required"`
	// Board says which boards will do.
	Board Selector `yaml:"board" strict:"required"`
	// Deploy is what the board boots.
	Deploy Deploy `yaml:"deploy" strict:"required"`
	// Containers run one after the other (b2c.run). Without any, a step must say
	// what proves success.
	Containers []Container `yaml:"containers"`
	// B2C holds boot2container's other options: KEY: VALUE becomes b2c.KEY=VALUE
	// on the kernel command line, a list repeats the option.
	B2C map[string][]string `yaml:"b2c" strict:"single"`
	// Timeouts bound the run.
	Timeouts Timeouts `yaml:"timeouts"`
	// Retries is how often an attempt that failed in a phase is repeated, 0 to 10,
	// each time with a full power cycle.
	Retries map[Phase]int `yaml:"retries"`
	// Blame moves a phase to the other side: fail (what is under test) or error
	// (the lab).
	Blame map[Phase]Verdict `yaml:"blame"`
	// Alarms changes what is made of reports of a dying or unwell kernel.
	Alarms Alarms `yaml:"alarms"`
	// Results are testcases that the board itself prints.
	Results Results `yaml:"results"`
	// Steps are done at the console, in order.
	Steps []Step `yaml:"steps"`

	// Dir is the job file's directory; relative paths of the job start there.
	Dir string `yaml:"-"`
}

// Selector picks a board of the lab: by name, by model, by tags, or by any mixture.
type Selector struct {
	// Name of a board in the lab file.
	Name string `yaml:"name"`
	// Model of the board.
	Model string `yaml:"model"`
	// Tags the board must all have.
	Tags []string `yaml:"tags" strict:"single"`
}

// Deploy is what the board boots.
type Deploy struct {
	// Kernel image.
	Kernel Asset `yaml:"kernel" strict:"required"`
	// Initramfs is one file, or a list that is concatenated.
	Initramfs []Asset `yaml:"initramfs" strict:"required,single"`
	// DTB is the device tree; without it the board's firmware brings its own.
	DTB *Asset `yaml:"dtb"`
	// Cmdline is added to the model's own kernel command line.
	Cmdline []string `yaml:"cmdline" strict:"single"`
}

// Asset is a file to boot. In YAML it is a string (the URL) or a map.
type Asset struct {
	// URL is an http(s) URL or a path relative to the job file.
	URL string `yaml:"url" strict:"required"`
	// SHA256 is 64 hexadecimal digits; empty: not verified.
	SHA256 string `yaml:"sha256"`
}

// Container is one b2c.run entry.
type Container struct {
	// Image is a registry reference, oci:DIR, oci-archive:FILE or
	// docker-archive:FILE. Paths are relative to the job file.
	Image string `yaml:"image" strict:"required"`
	// Args are arguments of podman create.
	Args []string `yaml:"args" strict:"single"`
	// Command overrides the image's command.
	Command []string `yaml:"command" strict:"single"`
}

// Timeouts bound a run; zero means the default of WithDefaults.
type Timeouts struct {
	// Job bounds everything, retries included.
	Job time.Duration `yaml:"job"`
	// Setup bounds fetching files and images.
	Setup time.Duration `yaml:"setup"`
	// Firmware runs from power on to the first sign of life: a console line or a
	// DHCP request.
	Firmware time.Duration `yaml:"firmware"`
	// Netboot runs from there until kernel, initramfs and device tree are fetched.
	Netboot time.Duration `yaml:"netboot"`
	// Boot runs from there until the container is started.
	Boot time.Duration `yaml:"boot"`
	// Silence is the longest time without a byte on the console, from the kernel
	// phase on.
	Silence time.Duration `yaml:"silence"`
	// Step bounds a step that has no timeout of its own.
	Step time.Duration `yaml:"step"`
	// Finish runs from the last step to the pipeline's status.
	Finish time.Duration `yaml:"finish"`
}

// Results says where testcases of their own come from.
type Results struct {
	// From are the forms to look for on the console: ktap, lava, gtest.
	From []Form `yaml:"from" strict:"single"`
}

// Form is a way in which programs print testcases.
type Form string

// Values names the forms a job file may use.
func (Form) Values() []string { return []string{"ktap", "lava", "gtest"} }

// Alarms changes what is made of what the console reports from power-on to
// power-off.
type Alarms struct {
	// Add has rules of the job's own.
	Add []AlarmRule `yaml:"add"`
	// Silence has patterns: a report whose first line or title matches is dropped.
	Silence []string `yaml:"silence" strict:"single"`
	// Grade is kind: severity, instead of the built-in ones.
	Grade map[string]Severity `yaml:"grade"`
}

// AlarmRule makes an alarm of each line that matches.
type AlarmRule struct {
	// Name becomes the alarm's kind.
	Name string `yaml:"name" strict:"required"`
	// Pattern (RE2) that a line matches.
	Pattern string `yaml:"pattern" strict:"required"`
	// Severity of the alarm; empty: record.
	Severity Severity `yaml:"severity"`
}

// Severity is what an alarm does to the run.
type Severity string

// The severities.
const (
	Ignore Severity = "ignore" // not reported
	Record Severity = "record" // reported, the run goes on
	Fatal  Severity = "fatal"  // reported, the run ends and has failed
)

// Values names the severities a job file may use.
func (Severity) Values() []string { return []string{string(Ignore), string(Record), string(Fatal)} }

// Step is one thing to do at the console; exactly one of Expect, Send and Run is
// set, but Run may carry an Expect for its output.
type Step struct {
	// Name in the report; without it the step is shown by what it does.
	Name string `yaml:"name"`
	// Expect waits for a pattern.
	Expect *Expect `yaml:"expect"`
	// Send types text as it is: a line needs its "\n", in double quotes.
	Send string `yaml:"send"`
	// Run is a command line for the shell at the prompt: it passes if its exit
	// status is 0 and its output matches Expect.
	Run string `yaml:"run"`
	// Timeout of this step; zero means Timeouts.Step.
	Timeout time.Duration `yaml:"timeout"`
}

// Expect waits for one of its patterns (RE2, matched on a line or on the
// unfinished last line). In YAML it is a string (to pass) or a map.
type Expect struct {
	// Pass are the patterns of which one must come.
	Pass []string `yaml:"pass" strict:"single"`
	// Fail are the patterns that end the wait at once.
	Fail []string `yaml:"fail" strict:"single"`
}
