package store

import (
	"context"
	"database/sql"
	"reflect"
)

// plainText makes every text that is handed over plain. What PostgreSQL can't keep
// as text it refuses to compare with as well: a page asked for a host with a NUL
// byte in its id would be an error of the server.
type plainText struct{ to transaction }

// QueryContext implements queryer.
func (p plainText) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	return p.to.QueryContext(ctx, query, plainArgs(args)...)
}

// QueryRowContext implements queryer.
func (p plainText) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	return p.to.QueryRowContext(ctx, query, plainArgs(args)...)
}

// ExecContext implements transaction.
func (p plainText) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	return p.to.ExecContext(ctx, query, plainArgs(args)...)
}

// plainArgs are arguments of which every text, of whatever type, is plain.
func plainArgs(args []any) []any {
	for i, arg := range args {
		if value := reflect.ValueOf(arg); value.Kind() == reflect.String {
			args[i] = plain(value.String())
		}
	}
	return args
}
