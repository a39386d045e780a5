package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
)

// groupCommit runs the changes of several callers in one SQLite transaction, so
// that one sync of the disk makes all of them durable. The caller that finds
// nobody at work leads; it takes what has come meanwhile along, each change in
// a savepoint of its own.
type groupCommit struct {
	db         *sql.DB
	engine     engine
	statements *statements // of db

	mu      sync.Mutex
	waiting []*change
	leading bool
}

type change struct {
	ctx  context.Context //nolint:containedctx // each change of a group has its own
	do   func(*Tx) error
	err  error
	done chan struct{}
}

// maxGroup bounds how many changes share one transaction.
const maxGroup = 200

func (g *groupCommit) do(ctx context.Context, do func(*Tx) error) error {
	c := &change{ctx: ctx, do: do, done: make(chan struct{})}
	g.mu.Lock()
	g.waiting = append(g.waiting, c)
	lead := !g.leading
	g.leading = true
	g.mu.Unlock()
	if lead {
		g.lead()
	}
	<-c.done
	return c.err
}

// lead commits groups until nobody waits.
func (g *groupCommit) lead() {
	for {
		g.mu.Lock()
		batch := g.waiting[:min(len(g.waiting), maxGroup)]
		g.waiting = g.waiting[len(batch):]
		if len(batch) == 0 {
			g.leading = false
			g.mu.Unlock()
			return
		}
		g.mu.Unlock()
		g.commit(batch)
		for _, c := range batch {
			close(c.done)
		}
		g.statements.prepare()
	}
}

func (g *groupCommit) commit(batch []*change) {
	fail := func(err error) {
		for _, c := range batch {
			if c.err == nil {
				c.err = err
			}
		}
	}
	// The transaction belongs to all, so no single caller's context ends it.
	ctx := context.Background()
	begun, err := g.db.BeginTx(ctx, nil)
	if err != nil {
		fail(fmt.Errorf("begin: %w", err))
		return
	}
	defer func() { _ = begun.Rollback() }() // does nothing after a commit
	tx := prepared{begun, g.statements}
	for _, c := range batch {
		if err := g.runOne(ctx, tx, c); err != nil {
			fail(err)
			return
		}
	}
	if err := tx.Commit(); err != nil {
		fail(fmt.Errorf("commit: %w", err))
	}
}

// runOne runs one change between savepoints. Its own error is kept in c; the
// returned one ends the whole group.
func (g *groupCommit) runOne(ctx context.Context, tx prepared, c *change) error {
	if err := c.ctx.Err(); err != nil {
		c.err = context.Cause(c.ctx)
		return nil
	}
	if _, err := tx.ExecContext(ctx, "SAVEPOINT change"); err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	if c.err = guard(func() error { return c.do(&Tx{reader{q: tx}, tx, g.engine}) }); c.err != nil {
		_, err := tx.ExecContext(ctx, "ROLLBACK TO SAVEPOINT change")
		_, rerr := tx.ExecContext(ctx, "RELEASE SAVEPOINT change")
		return errors.Join(err, rerr)
	}
	_, err := tx.ExecContext(ctx, "RELEASE SAVEPOINT change")
	return err
}

// guard turns a panic of one caller into its error, so that the others of the
// group do not wait for ever.
func guard(do func() error) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("change panicked: %v", cause)
		}
	}()
	return do()
}
