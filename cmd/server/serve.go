package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/restic-manager/restic-manager/internal/server"
)

type serveCommand struct {
	location
	Listen       string   `help:"Address to listen on." default:"127.0.0.1:8080" env:"RM_LISTEN"`
	TLSCert      string   `name:"tls-cert" help:"Certificate chain in PEM." env:"RM_TLS_CERT" placeholder:"FILE"`
	TLSKey       string   `name:"tls-key" help:"Private key in PEM." env:"RM_TLS_KEY" placeholder:"FILE"`
	Insecure     bool     `help:"Allow plain HTTP on an address that other machines reach."`
	TrustedProxy []string `help:"Proxy whose X-Forwarded headers are believed, as an address or prefix. May be repeated." env:"RM_TRUSTED_PROXIES" placeholder:"CIDR"`
	Developer    bool     `help:"Add /gallery, which shows every page in every state."`
}

func (c *serveCommand) Run(ctx context.Context, log *slog.Logger) error {
	o, err := c.options()
	if err != nil {
		return err
	}
	o.Listen, o.TLSCert, o.TLSKey, o.Insecure, o.Developer, o.Log = c.Listen, c.TLSCert, c.TLSKey, c.Insecure, c.Developer, log
	for _, text := range c.TrustedProxy {
		if !strings.Contains(text, "/") {
			address, err := netip.ParseAddr(text)
			if err != nil {
				return fmt.Errorf("read --trusted-proxy: %w", err)
			}
			text = netip.PrefixFrom(address, address.BitLen()).String()
		}
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			return fmt.Errorf("read --trusted-proxy: %w", err)
		}
		o.TrustedProxies = append(o.TrustedProxies, prefix)
	}
	o.Announce = func(token, file string) {
		fmt.Fprintf(os.Stderr, "\nThere is no user yet. Open /setup in a browser and give this setup token:\n\n    %s\n\nIt is also in %s.\n\n", token, file)
	}
	s, err := server.New(ctx, o)
	if err != nil {
		return err
	}
	log.Info("listening", "address", s.Addr())
	ctx, stop := context.WithCancel(ctx)
	var ticker sync.WaitGroup
	ticker.Go(func() { drain(ctx, s, log) })
	defer ticker.Wait()
	defer stop()
	return s.Run(ctx)
}

// drainEvery is how often the runs that wait are looked at. What frees a slot or
// brings a host back does not wait for it.
const drainEvery = 30 * time.Second

func drain(ctx context.Context, s *server.Server, log *slog.Logger) {
	ticker := time.NewTicker(drainEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if err := s.DrainAllDue(ctx); err != nil && ctx.Err() == nil {
				log.Error("pending runs not drained; the next tick tries again", "error", err)
			}
		}
	}
}
