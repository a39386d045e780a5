package control

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/restic-manager/restic-manager/internal/fleet"
)

// AuditReport is what a check of the audit log has found.
type AuditReport struct {
	Seals    int64
	Entries  int64     // that are there and are what was sealed
	Expired  int64     // seals whose entries were kept long enough and are gone
	From, To time.Time // of the first and the last entry that was checked
	Unsealed int       // entries that no seal covers yet, so nothing proves them
	Head     fleet.AuditSeal
	// Break is the first thing that is not as it was sealed, in words for people;
	// "" means that everything is.
	Break string
}

// verifyAtOnce is how many seals are read at once.
const verifyAtOnce = 100

// VerifyAudit walks the whole chain and compares it with what is in the
// database. The server may go on writing meanwhile.
func (c *Control) VerifyAudit(ctx context.Context) (AuditReport, error) {
	var report AuditReport
	for report.Break == "" {
		// Both are read before the seals, so that what they name is among them.
		noted, isNoted, err := c.notedHead(ctx)
		if err != nil {
			return report, err
		}
		lowest, highest, err := c.store.SealNumbers(ctx)
		if err != nil {
			return report, err
		}
		seals, err := c.store.AuditSeals(ctx, report.Head.Number, verifyAtOnce)
		if err != nil {
			return report, err
		}
		if len(seals) == 0 {
			if report.Break = checkEnd(report.Head, lowest, highest); report.Break == "" {
				report.Break = checkNote(report.Head, noted, isNoted)
			}
			break
		}
		for i := 0; i < len(seals) && report.Break == ""; i++ {
			if err := c.verifySeal(ctx, seals[i], &report); err != nil {
				return report, err
			}
		}
	}
	var err error
	report.Unsealed, err = c.store.CountUnsealed(ctx)
	return report, err
}

// verifySeal checks the seal that follows the report's head, and its entries.
func (c *Control) verifySeal(ctx context.Context, seal fleet.AuditSeal, report *AuditReport) error {
	if report.Break = checkSeal(report.Head, seal, c.publicKey()); report.Break != "" {
		return nil
	}
	entries, err := c.store.EntriesOfSeal(ctx, seal.Number, seal.Entries+1)
	if err != nil {
		return err
	}
	expired := len(entries) == 0 && report.Entries == 0 && seal.SealedAt.Before(c.now().Add(-keepAudit))
	if !expired {
		if report.Break = checkEntries(seal, entries); report.Break != "" {
			return nil
		}
		if report.Entries == 0 {
			report.From = entries[0].At
		}
		report.To = entries[len(entries)-1].At
	} else {
		report.Expired++
	}
	report.Seals++
	report.Entries += int64(len(entries))
	report.Head = seal
	return nil
}

// checkEnd says what is wrong behind the last seal, by the numbers that entries
// name; "" is nothing.
func checkEnd(last fleet.AuditSeal, lowest, highest int64) string {
	switch {
	case lowest < 0:
		return fmt.Sprintf("Entries are put under seal %d, and no seal has such a number.", lowest)
	case highest > last.Number:
		return fmt.Sprintf("Seal %d was removed: entries are still under its number.", highest)
	}
	return ""
}

// checkNote compares the last seal with the note of it; "" is nothing wrong.
func checkNote(last fleet.AuditSeal, noted head, isNoted bool) string {
	switch {
	case !isNoted && last.Number > 0:
		return "The note of the newest seal was removed or changed, so seals may be missing at the end."
	case noted.Number > last.Number:
		return fmt.Sprintf("Seals were removed from the end: this server made %d, and %d are there.", noted.Number, last.Number)
	case noted.Number < last.Number:
		return fmt.Sprintf("The note of the newest seal is an old one: it names seal %d, and %d are there.", noted.Number, last.Number)
	case !bytes.Equal(noted.Hash, last.Hash):
		return fmt.Sprintf("Seal %d is not the one that this server made last under that number.", last.Number)
	}
	return ""
}
