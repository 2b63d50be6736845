package runner

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"unicode"

	"golang.org/x/sync/errgroup"

	"b2c-runner/boards/netboot"
	"b2c-runner/boards/registry"
	"b2c-runner/jobs"
)

// setup fetches what the board will boot and run, and starts its network.
// Nothing is powered. The returned function ends the network.
func (r *run) setup(ctx context.Context) (stop func(), err error) {
	limited, cancel := context.WithTimeoutCause(ctx, r.job.Timeouts.Setup, &failure{phase: jobs.PhaseSetup,
		message: fmt.Sprintf("files and images were not ready within %s (timeouts.setup)", r.job.Timeouts.Setup)})
	defer cancel()

	images, err := registry.New(registry.Config{
		CacheDir:        filepath.Join(r.cfg.CacheDir, "registry"),
		DockerConfigDir: r.cfg.DockerConfigDir,
		Logger:          r.log,
	})
	if err != nil {
		return nil, inPhase(limited, jobs.PhaseSetup, err)
	}
	boot, err := r.prepare(limited, images)
	var endNetwork func()
	if err == nil {
		endNetwork, err = r.serve(limited, images, boot)
	}
	if err != nil {
		images.Close()
		return nil, inPhase(limited, jobs.PhaseSetup, err)
	}
	return func() { endNetwork(); images.Close() }, nil
}

// prepare fetches files and images side by side.
func (r *run) prepare(ctx context.Context, images *registry.Registry) (netboot.Boot, error) {
	var boot netboot.Boot
	paths := make([]string, len(r.job.Containers))
	r.result.Images = make([]jobs.Image, len(r.job.Containers))
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		boot, err = r.fetchBoot(ctx)
		return err
	})
	for i := range r.job.Containers {
		g.Go(func() error {
			image, err := images.Add(ctx, r.job.Image(i), r.board.Model.Platform())
			if err != nil {
				return imageFailure(ctx, r.job.Containers[i], err)
			}
			paths[i] = image.Path
			r.result.Images[i] = jobs.Image{Ref: r.job.Containers[i].Image, Digest: image.Digest, Stale: image.Stale}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return netboot.Boot{}, err
	}
	gateway := r.cfg.Network.Gateway().Addr()
	cmdline, err := r.job.WithClock(gateway).Cmdline(r.board.Model.Cmdline, func(i int) string {
		return fmt.Sprintf("%s:%d/%s", gateway, netboot.HTTPPort, paths[i])
	}, "--tls-verify=false")
	boot.Cmdline, r.result.Cmdline = cmdline, cmdline
	return boot, err
}

// imageFailure blames the phase that an image's trouble belongs to: what is
// wrong with an image of a registry is found out before the board is powered,
// and still is a failed pull.
func imageFailure(ctx context.Context, c jobs.Container, err error) error {
	if _, _, local := c.Local(); local {
		return inPhase(ctx, jobs.PhaseSetup, err)
	}
	for _, pull := range []error{registry.ErrNotFound, registry.ErrUnreachable, registry.ErrUnauthorized} {
		if errors.Is(err, pull) {
			return &failure{phase: jobs.PhasePull, message: err.Error() + "; the board was not powered"}
		}
	}
	return inPhase(ctx, jobs.PhaseSetup, err)
}

// serve starts the board's network, and offers it its boot.
func (r *run) serve(ctx context.Context, images http.Handler, boot netboot.Boot) (stop func(), err error) {
	r.server = netboot.New(netboot.Config{
		Network: r.cfg.Network,
		Uplink:  r.cfg.Uplink,
		Events:  r.networkEvent,
		Logger:  r.log,
	})
	r.server.Handle("/v2/", images)
	serving, cancel := context.WithCancel(context.WithoutCancel(ctx))
	r.serverEnded = make(chan struct{})
	go func() {
		defer close(r.serverEnded)
		r.serverErr = r.server.Run(serving)
	}()
	stop = func() {
		cancel()
		<-r.serverEnded
	}
	select {
	case <-r.server.Ready():
	case <-r.serverEnded:
		cancel()
		return nil, r.serverErr
	}
	r.bootFiles = boot.Names()
	if err := r.server.Add(netboot.Offer{Name: hostName(r.board.Name), MAC: r.board.MAC, Boot: boot}); err != nil {
		stop()
		return nil, err
	}
	return stop, nil
}

// hostName is a board's name as a host name (RFC 1123, section 2.1).
func hostName(name string) string {
	return strings.Trim(strings.Map(func(r rune) rune {
		if r < unicode.MaxASCII && (unicode.IsLetter(r) || unicode.IsDigit(r)) {
			return r
		}
		return '-'
	}, name[:min(len(name), 63)]), "-")
}

// networkEvent hands an event of the board's network to the attempt that runs.
func (r *run) networkEvent(e netboot.Event) {
	if a := r.current.Load(); a != nil && (len(e.MAC) == 0 || e.MAC.String() == r.board.MAC.String()) {
		a.network(e)
	}
}
