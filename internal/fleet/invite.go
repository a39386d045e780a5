package fleet

import (
	"net/netip"
	"net/url"
)

// EnrolCommand is what to run on a new machine so that it joins the server that
// the asker reached at host (with its port), by TLS if secure. It reads the token
// from standard input, so that no list of processes shows it.
func EnrolCommand(secure bool, host string) string {
	server := url.URL{Scheme: "http", Host: host}
	if secure {
		server.Scheme = "https"
	}
	command := "restic-manager-agent enroll --server " + server.String()
	if address, err := netip.ParseAddr(server.Hostname()); !secure && server.Hostname() != "localhost" && (err != nil || !address.IsLoopback()) {
		command += " --insecure" // the agent wants to be told as this server was
	}
	return command
}
