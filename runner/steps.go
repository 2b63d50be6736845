package runner

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	expect "github.com/google/goexpect"
	"google.golang.org/grpc/codes"

	"b2c-runner/console"
	"b2c-runner/jobs"
)

// stepClass is the class of the testcases that steps are.
const stepClass = "steps"

// steps does the job's steps, from the container's start on if there is one, and
// then waits for the proof that all went well: errPassed.
func (a *attempt) steps(ctx context.Context) error {
	from := 0
	if len(a.r.job.Containers) > 0 {
		if err := a.until(ctx, func() bool { return a.boot.started > 0 }); err != nil {
			return nil // another one decided
		}
		a.mu.Lock()
		from = a.boot.line
		a.mu.Unlock()
	}
	lines := a.stream.CursorAt(from)
	for i, s := range a.r.job.Steps {
		if len(a.r.job.Containers) > 0 {
			a.begin(jobs.PhaseSteps, "")
		}
		if err := a.step(ctx, lines, i, s); err != nil {
			return a.waitIfLost(ctx, err)
		}
	}
	if len(a.r.job.Steps) > 0 {
		a.begin(jobs.PhaseFinish, "")
	}
	if len(a.r.job.Containers) == 0 {
		return errPassed
	}
	return a.finish(ctx)
}

// finish waits for the pipeline's status. A container that no step has told to end
// may take as long as the job.
func (a *attempt) finish(ctx context.Context) error {
	if limit := a.r.job.Timeouts.Finish; len(a.r.job.Steps) > 0 {
		limited, cancel := context.WithTimeoutCause(ctx, limit, &failure{message: fmt.Sprintf(
			"every step passed, but the container did not end within %s (timeouts.finish; try: a last step that ends it, such as send: \"exit\\n\")", limit)})
		defer cancel()
		ctx = limited
	}
	if err := a.until(ctx, func() bool { return a.boot.over || a.boot.ended }); err != nil {
		return err
	}
	a.begin(jobs.PhaseFinish, "")
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.boot.verdict(a.r.job); err != nil {
		return err
	}
	return errPassed
}

// waitIfLost leaves a lost console to the watch, which has read all of it: the
// kernel's last words may be the better reason.
func (a *attempt) waitIfLost(ctx context.Context, err error) error {
	if errors.Is(err, console.ErrLost) {
		<-ctx.Done()
		return nil
	}
	return err
}

// step does one step and keeps its testcase.
func (a *attempt) step(ctx context.Context, lines *console.Cursor, i int, s jobs.Step) error {
	started := time.Now()
	limit := s.Timeout
	if limit == 0 {
		limit = a.r.job.Timeouts.Step
	}
	opts := console.ExpectOptions{Deadline: started.Add(limit)}
	output, err := a.act(ctx, lines, s, opts)
	c := jobs.Case{
		Class: stepClass, Name: fmt.Sprintf("%d %s", i+1, s.Title()), Verdict: jobs.Pass,
		Output: output, Duration: time.Since(started),
	}
	switch {
	case err == nil:
	case ctx.Err() != nil:
		c.Verdict, c.Message = jobs.Canceled, "not finished"
	case errors.Is(err, console.ErrLost):
		c.Verdict, c.Message = jobs.Error, err.Error()
	default:
		c.Verdict, c.Message = jobs.Fail, err.Error()
		err = &failure{message: fmt.Sprintf("step %d (%s) failed: %v", i+1, s.Title(), err)}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.out.Cases = append(a.out.Cases, c)
	a.add(jobs.Event{Kind: "step", Detail: fmt.Sprintf("%s: %s", c.Name, c.Verdict)})
	return err
}

// act does what the step says and returns what the board said to it.
func (a *attempt) act(ctx context.Context, lines *console.Cursor, s jobs.Step, opts console.ExpectOptions) (string, error) {
	switch {
	case s.Send != "":
		return "", a.stream.Send(ctx, s.Send)
	case s.Run != "":
		result, err := lines.Run(ctx, s.Run, opts)
		if err != nil {
			return result.Output, err
		}
		if result.Status != 0 {
			return result.Output, fmt.Errorf("exit status %d, output %q", result.Status, shorten(result.Output))
		}
		return result.Output, checkOutput(result.Output, s.Expect)
	default:
		cases, err := casers(s.Expect)
		if err != nil {
			return "", err
		}
		match, err := lines.Expect(ctx, opts, cases...)
		if err != nil {
			return "", fmt.Errorf("%s did not come: %w", strings.Join(s.Expect.Pass, " or "), err)
		}
		text := match.Line.Text
		if match.Tag == expect.FailTag {
			return text, fmt.Errorf("a pattern of failure came: %q", shorten(text))
		}
		return text, nil
	}
}

// casers is an Expect in goexpect's words.
func casers(e *jobs.Expect) ([]expect.Caser, error) {
	var cases []expect.Caser
	for _, patterns := range []struct {
		of  []string
		tag func() (expect.Tag, *expect.Status)
	}{
		{e.Fail, expect.Fail(expect.NewStatus(codes.FailedPrecondition, "a pattern of failure came"))},
		{e.Pass, expect.OK()},
	} {
		for _, p := range patterns.of {
			re, err := regexp.Compile(p)
			if err != nil {
				return nil, err
			}
			cases = append(cases, &expect.Case{R: re, T: patterns.tag})
		}
	}
	return cases, nil
}

// checkOutput looks for an Expect in what a command printed, line by line.
func checkOutput(output string, e *jobs.Expect) error {
	if e == nil {
		return nil
	}
	for _, p := range e.Fail {
		if line, ok := matchLine(p, output); ok {
			return fmt.Errorf("a pattern of failure came: %q", shorten(line))
		}
	}
	for _, p := range e.Pass {
		if _, ok := matchLine(p, output); ok {
			return nil
		}
	}
	if len(e.Pass) == 0 {
		return nil
	}
	return fmt.Errorf("its output has no match for %s: %q", strings.Join(e.Pass, " or "), shorten(output))
}

func matchLine(pattern, output string) (string, bool) {
	re, err := regexp.Compile(pattern)
	if err != nil {
		return "", false // jobs.Load has refused it
	}
	for line := range strings.SplitSeq(strings.TrimSuffix(output, "\n"), "\n") {
		if re.MatchString(line) {
			return line, true
		}
	}
	return "", false
}

// shorten keeps messages to a line.
func shorten(s string) string {
	const limit = 200
	if s = strings.TrimSpace(s); len(s) > limit {
		return s[:limit] + "…"
	}
	return s
}
