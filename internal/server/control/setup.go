package control

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/restic-manager/restic-manager/internal/atomicfile"
	"github.com/restic-manager/restic-manager/internal/auth"
	"github.com/restic-manager/restic-manager/internal/crypto"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/store"
)

// setupToken is the meta value that holds the hash of the setup token.
const setupToken = "setup_token"

// SetupNeeded tells whether there is no user yet.
func (c *Control) SetupNeeded(ctx context.Context) (bool, error) {
	users, err := c.store.Users(ctx)
	return users == 0, err
}

// OpenSetup makes a fresh setup token while there is no user yet, and leaves it
// in the file at path, mode 0600, for the person on this machine; older tokens
// are void. Without need the token is empty and the file goes.
func (c *Control) OpenSetup(ctx context.Context, path string) (crypto.Text, error) {
	token := crypto.NewSecret(16)
	needed := false
	err := c.store.Write(ctx, func(tx *store.Tx) error {
		users, err := tx.Users(ctx)
		if needed = users == 0; err != nil || !needed {
			return err
		}
		return tx.SetMeta(ctx, setupToken, crypto.HashSecret(token))
	})
	if err != nil {
		return crypto.Text{}, err
	}
	if !needed {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return crypto.Text{}, fmt.Errorf("remove spent setup token: %w", err)
		}
		return crypto.Text{}, nil
	}
	if err := atomicfile.Write(path, []byte(token+"\n"), 0o600); err != nil {
		return crypto.Text{}, fmt.Errorf("write setup token: %w", err)
	}
	return crypto.NewText(token), nil
}

// FirstUser is what a person types at the first visit.
type FirstUser struct {
	Token    crypto.Text // as it was printed on the server's machine
	Name     string
	Password crypto.Text
}

// Setup makes the first user, an admin, and begins a session. The token is spent
// by it.
func (c *Control) Setup(ctx context.Context, first FirstUser, peer Peer) (crypto.Text, auth.Session, error) {
	var none auth.Session
	if needed, err := c.SetupNeeded(ctx); err != nil || !needed {
		return crypto.Text{}, none, cmp.Or(err, errSetUp)
	}
	var invalid fleet.Invalid
	if sentence := auth.CheckUserName(first.Name); sentence != "" {
		invalid.Add("name", "%s", sentence)
	}
	if sentence := auth.CheckPassword(first.Name, first.Password.Reveal()); sentence != "" {
		invalid.Add("password", "%s", sentence)
	}
	if err := invalid.Err(); err != nil {
		return crypto.Text{}, none, err
	}
	attempt := auth.NewAttempt("", peer.Address, false)
	notable, err := c.countAttempt(ctx, attempt)
	if err != nil {
		return crypto.Text{}, none, err
	}
	tokenHash := crypto.HashSecret(first.Token.Reveal())
	kept, err := c.store.Meta(ctx, setupToken)
	if err != nil {
		return crypto.Text{}, none, err
	}
	if kept != tokenHash {
		return crypto.Text{}, none, c.refuseSetup(ctx, peer, notable)
	}
	// The token is right, so hashing is no longer work for strangers.
	hash, err := c.hasher.Hash(ctx, first.Password.Reveal())
	if err != nil {
		return crypto.Text{}, none, err
	}
	user := auth.User{ID: job.NewULID(c.now()), Name: first.Name, Role: auth.Admin, CreatedAt: c.now()}
	return c.beginSession(ctx, user, peer, func(tx *store.Tx) error {
		taken, err := tx.TakeMeta(ctx, setupToken, tokenHash)
		if err != nil || !taken {
			return cmp.Or(err, errSetUp)
		}
		if err := tx.AddUser(ctx, user, hash); err != nil {
			return err
		}
		if err := c.forgiveAttempt(ctx, attempt)(tx); err != nil {
			return err
		}
		return c.auditChange(ctx, tx, user.Identity(peer.Address), "user.created", "user", user.ID, nil, userDetail{user.Name, user.Role})
	})
}

// userDetail is what the audit tells of a user.
type userDetail struct {
	Name string    `json:"name"`
	Role auth.Role `json:"role"`
}

// refuseSetup says that the token is wrong, and audits that if it is notable.
func (c *Control) refuseSetup(ctx context.Context, peer Peer, notable bool) error {
	invalid := &fleet.Invalid{}
	invalid.Add("token", "This is not the setup token. The server printed it when it started, and wrote it to setup-token in its data folder.")
	if notable {
		if err := c.store.Write(ctx, func(tx *store.Tx) error {
			return c.audit(ctx, tx, stranger(peer), "setup.refused", "user", "", nil)
		}); err != nil {
			return err
		}
	}
	return invalid
}

// errSetUp is what a second setup gets.
var errSetUp = fleet.Conflict("This server is set up already. Sign in instead.")
