package control

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// PeerAddress tells the address that a request comes from, without its port.
type PeerAddress func(*http.Request) string

func directPeer(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// Proxied tells whether a request came through one of the proxies.
func Proxied(r *http.Request, proxies []netip.Prefix) bool { return within(directPeer(r), proxies) }

func within(text string, prefixes []netip.Prefix) bool {
	address, err := netip.ParseAddr(strings.TrimSpace(text))
	if err != nil {
		return false
	}
	for _, prefix := range prefixes {
		if prefix.Contains(address.Unmap()) {
			return true
		}
	}
	return false
}

// BehindProxies believes X-Forwarded-For only as far as the named proxies wrote
// it: the address is the last one in it that is not a proxy's.
func BehindProxies(proxies []netip.Prefix) PeerAddress {
	return func(r *http.Request) string {
		peer := directPeer(r)
		if !within(peer, proxies) {
			return peer
		}
		hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
		for i := len(hops) - 1; i >= 0; i-- {
			hop := strings.TrimSpace(hops[i])
			if _, err := netip.ParseAddr(hop); err != nil {
				return peer
			}
			if !within(hop, proxies) {
				return hop
			}
		}
		return peer
	}
}
