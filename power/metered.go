package power

import "context"

// meteredConduct is the conduct of an outlet with a meter.
type meteredConduct struct {
	*conduct
	meter meter
}

func (c *meteredConduct) Watts(ctx context.Context) (float64, error) {
	return c.measure(ctx, c.meter.watts)
}

// energyConduct is that of one which counts energy too.
type energyConduct struct {
	meteredConduct
	energy energyMeter
}

func (c *energyConduct) Joules(ctx context.Context) (float64, error) {
	return c.measure(ctx, c.energy.joules)
}

func (c *conduct) measure(ctx context.Context, read func(context.Context) (float64, error)) (float64, error) {
	var value float64
	err := c.run(ctx, "measure", func() error {
		return c.attempt(ctx, func() error {
			return c.call(ctx, func(ctx context.Context) (err error) {
				value, err = read(ctx)
				return err
			})
		})
	})
	if err != nil {
		return 0, err
	}
	return value, nil
}
