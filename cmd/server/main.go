// Command restic-manager-server is the control plane. It owns flags, signals and
// exit codes. It must not know how anything is done: that is package server's,
// and the demo's.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"github.com/restic-manager/restic-manager/internal/auth"
	"github.com/restic-manager/restic-manager/internal/server"
	"github.com/restic-manager/restic-manager/internal/server/control"
)

// version is set at the build by -ldflags "-X main.version=…".
var version = "dev"

type commands struct {
	Serve   serveCommand   `cmd:"" help:"Run the server until stopped."`
	Demo    demoCommand    `cmd:"" help:"Run a whole small fleet on this machine: server, rest-server and agents."`
	Token   tokenCommand   `cmd:"" help:"API tokens."`
	Access  accessCommand  `cmd:"" help:"Print how a host's repositories are opened, for restic by hand. It is audited."`
	Audit   auditCommand   `cmd:"" help:"The audit log."`
	Version versionCommand `cmd:"" help:"Print the version."`
}

// location is where a server's data is; serve and token share it.
type location struct {
	DataDir      string `help:"Folder of the key file and the SQLite database." default:"/var/lib/restic-manager" env:"RM_DATA_DIR"`
	Database     string `help:"PostgreSQL URL, such as postgres://rm@db.example/rm. Better in RM_DATABASE or --database-file: it may hold a password. Default: SQLite in the data folder." env:"RM_DATABASE" placeholder:"URL"`
	DatabaseFile string `help:"File that holds the PostgreSQL URL." env:"RM_DATABASE_FILE" placeholder:"FILE"`
}

func (l *location) options() (server.Options, error) {
	o := server.Options{Dir: l.DataDir, Database: l.Database, Version: version}
	if l.DatabaseFile != "" {
		text, err := os.ReadFile(l.DatabaseFile)
		if err != nil {
			return o, fmt.Errorf("read the database URL: %w", err)
		}
		o.Database = strings.TrimSpace(string(text))
	}
	return o, nil
}

type tokenCommand struct {
	Create tokenCreateCommand `cmd:"" help:"Make an API token and print it. It can't be shown again."`
}

type tokenCreateCommand struct {
	location
	Name    string        `required:"" help:"What the token is for." placeholder:"NAME"`
	Role    string        `help:"viewer, operator or admin." default:"admin" enum:"viewer,operator,admin"`
	Expires time.Duration `help:"How long it lives; 0 is until it is revoked." placeholder:"DURATION"`
}

func (c *tokenCreateCommand) Run(ctx context.Context) error {
	o, err := c.options()
	if err != nil {
		return err
	}
	wanted := control.NewAPIToken{Name: c.Name, Role: auth.Role(c.Role)}
	if c.Expires > 0 {
		wanted.ExpiresAt = time.Now().Add(c.Expires)
	}
	secret, err := server.CreateToken(ctx, o, wanted)
	if err != nil {
		return err
	}
	fmt.Println(secret)
	return nil
}

type versionCommand struct{}

func (c *versionCommand) Run() error {
	fmt.Println("restic-manager-server", version)
	return nil
}

func main() { os.Exit(run()) }

func run() int {
	if os.Getenv("GOGC") == "" {
		// Memory is dearer here than the time that collecting it twice as often takes.
		debug.SetGCPercent(50)
	}
	ctx, stop := signal.NotifyContext(context.Background(), stopSignals()...)
	defer stop()
	parsed := kong.Parse(new(commands), kong.Name("restic-manager-server"), kong.ShortUsageOnError(),
		kong.Description("One console for the restic backups of many machines."),
		kong.BindTo(ctx, (*context.Context)(nil)), kong.Bind(slog.New(slog.NewTextHandler(os.Stderr, nil))))
	if err := parsed.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "restic-manager-server:", err)
		return 1
	}
	return 0
}

// stopSignals ask for an orderly end. A closed terminal is one of them, or what
// was started from it would live on; nohup says otherwise.
func stopSignals() []os.Signal {
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) {
		signals = append(signals, syscall.SIGHUP)
	}
	return signals
}
