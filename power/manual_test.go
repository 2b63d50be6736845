package power

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
)

func manualRig(t *testing.T) *rig {
	var on atomic.Bool
	return &rig{
		spec: Spec{Manual: &Manual{Switch: "the left plug"}}, blind: true, isOn: on.Load,
		opts: Options{Ask: func(ctx context.Context, question string) error {
			switch question {
			case "Switch the left plug on.":
				on.Store(true)
			case "Switch the left plug off.":
				on.Store(false)
			default:
				return errors.New("pardon?")
			}
			return ctx.Err()
		}},
	}
}

func TestManualNeedsAPerson(t *testing.T) {
	_, err := Open(Spec{Manual: &Manual{}}, Options{})
	wantError(t, err, "nobody to ask")
}
