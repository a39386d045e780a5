package server

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"strings"

	"github.com/restic-manager/restic-manager/internal/api"
)

// Options are the settings of a server.
type Options struct {
	// Dir holds the key file and, with SQLite, the database; mode 0700.
	Dir string
	// Database is a postgres:// URL; "" is a SQLite file in Dir.
	Database string
	// Listen is the address to listen on, as host:port.
	Listen string
	// TLSCert and TLSKey are files in PEM; both or none. Without them the server
	// speaks plain HTTP, which is meant for loopback and for a proxy in front.
	TLSCert, TLSKey string
	// Insecure allows plain HTTP on an address that is not loopback.
	Insecure bool
	// TrustedProxies are believed what they say of a request's origin.
	TrustedProxies []netip.Prefix
	// Intervals are the delays told to agents; zero values take the defaults.
	Intervals api.Intervals
	// Developer adds the gallery of page states.
	Developer bool
	Version   string
	Log       *slog.Logger
	// Announce is told the setup token while there is no user yet.
	Announce func(setupToken, file string)
}

func (o *Options) validate() error {
	switch {
	case o.Dir == "":
		return errors.New("check settings: the data folder is missing")
	case o.Listen == "":
		return errors.New("check settings: the address to listen on is missing")
	case !validAddress(o.Listen):
		return fmt.Errorf("check settings: %q is no address to listen on; it looks like 127.0.0.1:8080", o.Listen)
	case (o.TLSCert == "") != (o.TLSKey == ""):
		return errors.New("check settings: give --tls-cert and --tls-key together")
	case o.Log == nil:
		return errors.New("check settings: the log is missing")
	}
	if o.TLSCert == "" && !o.Insecure && !loopback(o.Listen) {
		return fmt.Errorf("check settings: %s is reachable from other machines and the server would speak plain HTTP there; give --tls-cert and --tls-key, listen on 127.0.0.1 behind a proxy, or accept it with --insecure", o.Listen)
	}
	return nil
}

func validAddress(address string) bool {
	_, port, err := net.SplitHostPort(address)
	return err == nil && port != ""
}

// loopback tells whether address is one that only this machine reaches.
func loopback(address string) bool {
	host, _, found := strings.Cut(address, "]:")
	if found {
		host = strings.TrimPrefix(host, "[")
	} else {
		host, _, _ = strings.Cut(address, ":")
	}
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

func (o *Options) database() string {
	if o.Database != "" {
		return o.Database
	}
	return filepath.Join(o.Dir, "restic-manager.db")
}

// Names of the files in Dir.
const (
	keyFileName   = "secret.key"
	lockFileName  = "server.lock"
	setupFileName = "setup-token"
)
