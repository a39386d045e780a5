package store

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
)

//go:embed migrations/*.sql
var migrations embed.FS

// migrate runs every migration that the database has not had yet, in the order
// of their numbers, all in one transaction. There is no way back.
func (s *Store) migrate(ctx context.Context) error {
	names, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return fmt.Errorf("list migrations: %w", err)
	}
	return s.writeOnce(ctx, func(tx *Tx) error {
		if lock := s.engine.migrationLock(); lock != "" {
			if err := tx.exec(ctx, lock); err != nil {
				return fmt.Errorf("lock migrations: %w", err)
			}
		}
		if err := tx.exec(ctx, "CREATE TABLE IF NOT EXISTS schema_version (version BIGINT NOT NULL)"); err != nil {
			return fmt.Errorf("prepare migrations: %w", err)
		}
		have, err := tx.schemaVersion(ctx)
		if err != nil {
			return err
		}
		if have > len(names) {
			return fmt.Errorf("the database has schema version %d and this program knows %d: a newer version has used it; run that one", have, len(names))
		}
		for i, name := range names[have:] {
			if err := tx.runMigration(ctx, name); err != nil {
				return err
			}
			if err := tx.exec(ctx, "INSERT INTO schema_version (version) VALUES ($1)", have+i+1); err != nil {
				return fmt.Errorf("note migration %s: %w", name, err)
			}
		}
		return nil
	})
}

func (t *Tx) schemaVersion(ctx context.Context) (int, error) {
	var version int
	if err := t.tx.QueryRowContext(ctx, "SELECT coalesce(max(version), 0) FROM schema_version").Scan(&version); err != nil {
		return 0, fmt.Errorf("read schema version: %w", err)
	}
	return version, nil
}

// runMigration runs the statements of one file. A statement ends with a
// semicolon at the end of a line.
func (t *Tx) runMigration(ctx context.Context, name string) error {
	text, err := migrations.ReadFile(name)
	if err != nil {
		return fmt.Errorf("read migration: %w", err)
	}
	for i, statement := range strings.Split(string(text), ";\n") {
		if strings.TrimSpace(statement) == "" {
			continue
		}
		if err := t.exec(ctx, statement); err != nil {
			return fmt.Errorf("run migration %s, statement %s: %w", name, strconv.Itoa(i+1), err)
		}
	}
	return nil
}
