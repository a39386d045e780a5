package agent

import (
	"fmt"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/restic"
)

// byMessage is how restic's words are read where its exit code says only that
// it gave up. The first line that fits counts.
var byMessage = []struct {
	trouble job.Trouble
	parts   []string // any of them, in lower case
}{
	{job.TroubleSources, []string{"all source directories/files do not exist", "all target directories/files do not exist"}},
	{job.TroubleRepositoryFull, []string{"507 insufficient storage", "(507)"}},
	{job.TroubleLocalFull, []string{"no space left on device", "not enough space on the disk", "disk quota exceeded"}},
	{job.TroubleRefused, []string{"401 unauthorized", "403 forbidden", "(401)", "(403)"}},
	{job.TroubleCertificate, []string{"x509:", "tls: failed to verify", "certificate"}},
	{job.TroubleUnreachable, []string{"connection refused", "no such host", "i/o timeout", "connection reset", "network is unreachable",
		"no route to host", "connectex:", "context deadline exceeded", "timeout awaiting", "server misbehaving", "broken pipe",
		"502 bad gateway", "503 service unavailable", "504 gateway", "unexpected eof", "dial tcp"}},
}

// troubleOf reads why a run of restic failed. It is not asked about runs that
// ended well.
func troubleOf(result restic.Result) job.Trouble {
	switch result.Exit { //nolint:exhaustive // the other codes have no trouble of their own
	case restic.ExitNoRepository:
		return job.TroubleNoRepository
	case restic.ExitLocked:
		return job.TroubleLocked
	case restic.ExitWrongPassword:
		return job.TroublePassword
	}
	words := strings.ToLower(result.Message)
	if found := troubleIn(words); found != job.TroubleOther {
		return found
	}
	return troubleIn(strings.ToLower(result.StderrTail))
}

func troubleIn(words string) job.Trouble {
	for _, line := range byMessage {
		for _, part := range line.parts {
			if strings.Contains(words, part) {
				return line.trouble
			}
		}
	}
	return job.TroubleOther
}

// scene is what a sentence about trouble may speak of.
type scene struct {
	Repository   string // address without secrets
	Locks        []job.Lock
	LockWait     time.Duration
	FirstContact time.Duration
	Now          time.Time
	Message      string
}

// explain says in one sentence what happened, and in another what to do next.
func explain(what job.Trouble, s scene) (sentence, advice string) {
	switch what { //nolint:exhaustive // what is left is told in restic's own words
	case job.TroubleNoRepository:
		return fmt.Sprintf("There is no repository at %s any more.", s.Repository),
			"Nothing was created in its place. Find out where it went before anything else: a disk that is not mounted, a folder that was moved or a changed address are usual. Earlier snapshots are in the old place."
	case job.TroubleLocked:
		waited := "and the source group waits for no lock"
		if s.LockWait > 0 {
			waited = "and the lock was not released within " + roughly(s.LockWait)
		}
		return fmt.Sprintf("The repository is locked%s, %s.", lockOwner(s.Locks, s.Now), waited),
			"If that process is at work, wait for it. If it is gone, remove this one lock on the job's page; then run the job again."
	case job.TroublePassword:
		return fmt.Sprintf("The password does not open the repository at %s.", s.Repository),
			"Nothing was changed. If the password of an existing repository was typed wrong when this host was added, remove the host and add it again."
	case job.TroubleUnreachable:
		return fmt.Sprintf("The repository at %s could not be reached%s.", s.Repository, within(s.FirstContact)),
			"Check that rest-server runs and that this machine can reach its address and port; then run the job again." + said(s.Message)
	case job.TroubleRefused:
		return fmt.Sprintf("The server of the repository at %s refused this host's user name or password.", s.Repository),
			"Check that the host's user still exists on the storage box; if it is gone, look at rest-server's file of users there." + said(s.Message)
	case job.TroubleCertificate:
		return fmt.Sprintf("The certificate of the server at %s is not trusted by this machine.", s.Repository),
			"Give rest-server a certificate that this machine trusts, or install the authority that signed it." + said(s.Message)
	case job.TroubleRepositoryFull:
		return "The disk that holds the repository is full.",
			"Free space on the storage box. What was sent so far is kept and need not be sent again." + said(s.Message)
	case job.TroubleLocalFull:
		return "A disk is full, on this machine or where the repository lies.",
			"Look at the free space of this machine's cache and temporary folders and of the repository's disk; free some, and run the job again." + said(s.Message)
	case job.TroubleSources:
		return "None of the paths to back up exists.", "Check the paths of the source group and that their disks are mounted."
	}
	return "restic gave up" + colon(s.Message) + ".", "The job's log has the details."
}

// lockOwner names who holds the newest lock.
func lockOwner(locks []job.Lock, now time.Time) string {
	if len(locks) == 0 {
		return ""
	}
	lock := locks[0]
	text := fmt.Sprintf(" by process %d on %s since %s", lock.PID, lock.Host, lock.Time.UTC().Format("2006-01-02 15:04 MST"))
	if age := now.Sub(lock.Time); age > 0 {
		text += fmt.Sprintf(" (%s ago)", roughly(age))
	}
	if len(locks) > 1 {
		text += fmt.Sprintf(" and %d more", len(locks)-1)
	}
	return text
}

// roughly prints a duration as a person would say it.
func roughly(d time.Duration) string {
	switch {
	case d < 2*time.Minute:
		return fmt.Sprintf("%d seconds", int(d.Round(time.Second).Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d minutes", int(d.Round(time.Minute).Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d hours", int(d.Round(time.Hour).Hours()))
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}

func within(wait time.Duration) string {
	if wait <= 0 {
		return ""
	}
	return " within " + roughly(wait)
}

func colon(message string) string {
	if message == "" {
		return ""
	}
	return ": " + strings.TrimRight(strings.TrimPrefix(firstLine(message), "Fatal: "), ". ")
}

func said(message string) string {
	if message == "" {
		return ""
	}
	return " restic said: " + firstLine(message)
}

const maxQuoted = 300 // bytes of restic's words in a sentence

func firstLine(text string) string {
	text, _, _ = strings.Cut(strings.TrimSpace(text), "\n")
	if len(text) > maxQuoted {
		text = strings.ToValidUTF8(text[:maxQuoted], "") + " […]"
	}
	return text
}
