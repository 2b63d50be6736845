package runner

import (
	"fmt"

	"b2c-runner/console/alarm"
	"b2c-runner/jobs"
)

// Check reports what is wrong with a job beyond what its file shows: kinds of
// alarms that do not exist.
func Check(job *jobs.Job) error {
	_, err := newDetector(job.Alarms)
	return err
}

// newDetector makes the detector that a job's alarms ask for.
func newDetector(a jobs.Alarms) (*alarm.Detector, error) {
	opts := alarm.Options{Silence: a.Silence, Regrade: map[alarm.Kind]alarm.Severity{}}
	for _, r := range a.Add {
		severity, err := severityOf(r.Severity)
		if err != nil {
			return nil, err
		}
		opts.Rules = append(opts.Rules, alarm.Rule{Name: r.Name, Pattern: r.Pattern, Severity: severity})
	}
	for kind, s := range a.Grade {
		severity, err := severityOf(s)
		if err != nil {
			return nil, err
		}
		opts.Regrade[alarm.Kind(kind)] = severity
	}
	d, err := alarm.NewDetector(opts)
	if err != nil {
		return nil, fmt.Errorf("bad alarms in the job: %w", err)
	}
	return d, nil
}

func severityOf(s jobs.Severity) (alarm.Severity, error) {
	if s == "" {
		return alarm.Recorded, nil
	}
	return alarm.ParseSeverity(string(s))
}
