//go:build linux

package bench

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/test/rig"
)

// largeFleet is a server on SQLite that speaks TLS, with many hosts and jobs in
// its database.
type largeFleet struct {
	server  *rig.Server
	hosts   []seeded
	longJob job.ID
	crowd   *crowd
	before  memory // of the server, without agents
}

const longLog = 200_000

func startLarge(t testing.TB, table *figures) *largeFleet {
	t.Helper()
	l := &largeFleet{server: rig.StartServer(t, rig.ServerOptions{Unstarted: true})}
	certify(t)
	l.server.URL = "https://" + l.server.Listen

	db := openStore(t, l.server)
	l.hosts = seedHosts(t, db, *hosts)
	seedJobs(t, db, l.hosts, *jobs)
	l.longJob = seedLog(t, db, l.hosts[0], longLog)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	l.server.Start(t)
	health, _ := startTimes(t, l.server, 3)
	table.add(fmt.Sprintf("server with %d hosts and %d jobs, start to first 200", *hosts, *jobs), health.spread(), "", "of /healthz, TLS")
	pause(t, 2*time.Second)
	l.before = memoryOf(t, l.server.Pid)
	return l
}

// certify makes a certificate that servers started from now on show, and that
// this process trusts.
func certify(t testing.TB) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "bench"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(24 * time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, block := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: certificate}, "key.pem": {Type: "PRIVATE KEY", Bytes: encoded}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("RM_TLS_CERT", filepath.Join(dir, "cert.pem"))
	t.Setenv("RM_TLS_KEY", filepath.Join(dir, "key.pem"))
	// Nothing has spoken TLS before, so the trusted certificates are still to be read.
	t.Setenv("SSL_CERT_FILE", filepath.Join(dir, "cert.pem"))
	t.Setenv("SSL_CERT_DIR", dir)
}

// connect lets the light agents in and looks at what they cost.
func (l *largeFleet) connect(t testing.TB, table *figures) {
	t.Helper()
	began := time.Now()
	l.crowd = startCrowd(t, l.server.URL, l.hosts[:*agents], nil)
	l.crowd.await(t, time.Time{})
	took := time.Since(began)
	pause(t, 5*time.Second)
	part := shares(t, 10*time.Second, l.server.Pid)[0]
	now := memoryOf(t, l.server.Pid)
	each := float64(now.resident-l.before.resident) / float64(*agents) / 1024
	table.add(fmt.Sprintf("%d simulated agents, SQLite, TLS: memory of each", *agents), fmt.Sprintf("%.1f KiB", each), "≤ 50 KiB (10,000)",
		fmt.Sprintf("server %s, %s without them; connected in %s; %s of a core", mib(now.resident), mib(l.before.resident), seconds(took), percent(part)))
}

// pages measures how soon the pages that people look at most are there.
func (l *largeFleet) pages(t testing.TB, table *figures) {
	t.Helper()
	person := signIn(t, l.server)
	program := &http.Client{Transport: bearer{l.server.API.Token}}
	for _, page := range []struct {
		what, path, design string
		client             *http.Client
	}{
		{"/api/v1/hosts, 100 rows", "/api/v1/hosts?limit=100", "p99 ≤ 50 ms", program},
		{"Fleet page", "/", "p99 ≤ 100 ms", person},
		{fmt.Sprintf("job page of a job with %d log lines", longLog), "/jobs/" + string(l.longJob), "≤ 20 ms", person},
	} {
		waits, size := visit(t, page.client, l.server.URL+page.path, 300)
		table.add(page.what, waits.spread(), page.design, fmt.Sprintf("%d hosts, %d jobs; %d KiB; one after another, TLS", *hosts, *jobs, size>>10))
	}
}

// visit gets a page again and again.
func visit(t testing.TB, client *http.Client, address string, times int) (waits samples, size int) {
	t.Helper()
	for range times {
		began := time.Now()
		response, err := client.Get(address)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		waits = append(waits, time.Since(began))
		if _ = response.Body.Close(); err != nil || response.StatusCode != http.StatusOK || strings.Contains(string(body), `name="password"`) {
			t.Fatalf("%s was answered %s: %v\n%.500s", address, response.Status, err, body)
		}
		size = len(body)
	}
	return waits, size
}

// signIn gives a browser in which the administrator has signed in.
func signIn(t testing.TB, server *rig.Server) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.PostForm(server.URL+"/sign-in", url.Values{"username": {server.User}, "password": {server.Password}})
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusSeeOther {
		t.Fatalf("sign in: %s", response.Status)
	}
	return client
}

// bearer signs requests with an API token.
type bearer struct{ token string }

// RoundTrip implements http.RoundTripper.
func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+b.token)
	return http.DefaultTransport.RoundTrip(r)
}

// restart lets every agent finish a backup while the server is away and looks
// whether all of them are there in the end.
func (l *largeFleet) restart(t testing.TB, table *figures) {
	t.Helper()
	began := time.Now()
	l.server.Stop()
	stopped := time.Since(began)
	group := job.GroupID(job.NewULID(began))
	made := map[job.ID]bool{}
	for _, agent := range l.crowd.agents {
		made[agent.finishBackup(t, group)] = true
	}
	l.server.Launch(t)
	table.backAfter(t, l.crowd, began, stopped)
	l.crowd.until(t, "acknowledged", l.crowd.acknowledged)
	all := time.Since(began)

	db := openStore(t, l.server)
	defer func() { _ = db.Close() }()
	for id := range made {
		if j, err := db.Job(t.Context(), id); err == nil && j.State == job.Succeeded && j.LogLines == 1 {
			delete(made, id)
		}
	}
	table.add(fmt.Sprintf("results of %d backups that ended meanwhile, lost", *agents), fmt.Sprint(len(made)), "0",
		fmt.Sprintf("all acknowledged %s after the wish to stop", seconds(all)))
}
