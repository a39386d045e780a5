// Command restic-manager-agent runs on an endpoint or beside a rest-server. It
// owns flags, signals and exit codes. It must not know how anything is done:
// that is package agent's.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"github.com/restic-manager/restic-manager/internal/agent"
)

// version is set at the build by -ldflags "-X main.version=…".
var version = "dev"

type commands struct {
	State  string `help:"State folder. Default: ${state}." placeholder:"DIR" env:"RM_AGENT_STATE"`
	Policy string `help:"This machine's own policy file. Default: ${policy}." placeholder:"FILE" env:"RM_AGENT_POLICY"`

	Enroll  enrollCommand  `cmd:"" help:"Join a server with a one-time token, read from --token-file, RM_ENROLLMENT_TOKEN or standard input."`
	Run     runCommand     `cmd:"" help:"Work for the server until stopped."`
	Status  statusCommand  `cmd:"" help:"Tell how this machine's agent is. Exit code 0 means connected."`
	Version versionCommand `cmd:"" help:"Print the version."`
}

func (c *commands) options(log *slog.Logger) agent.Options {
	return agent.Options{Dir: c.State, PolicyFile: c.Policy, Version: version, Log: log}
}

type enrollCommand struct {
	Server    string        `required:"" help:"The server's address, such as https://backup.example.org." placeholder:"URL"`
	TokenFile string        `help:"File with the token." placeholder:"FILE"`
	Insecure  bool          `help:"Allow an address without encryption that is not this machine."`
	Replace   bool          `help:"Set an earlier enrolment aside and join anew."`
	Timeout   time.Duration `default:"1h" help:"How long to go on trying while the server can't be reached."`
}

func (c *enrollCommand) Run(ctx context.Context, all *commands, log *slog.Logger) error {
	token, err := readToken(c.TokenFile, os.Stdin)
	if err != nil {
		return err
	}
	identity, err := agent.Enrol(ctx, all.options(log), agent.EnrolOptions{
		Server: c.Server, Token: token, Insecure: c.Insecure, Replace: c.Replace, Timeout: c.Timeout,
		Notice: func(text string) { fmt.Fprintln(os.Stderr, text) },
	})
	if err != nil {
		return err
	}
	fmt.Printf("This machine is enrolled as %q at %s. Start its agent with: restic-manager-agent run\n", identity.Name, identity.Server)
	return nil
}

type runCommand struct{}

func (c *runCommand) Run(ctx context.Context, all *commands, log *slog.Logger) error {
	running, err := agent.New(all.options(log))
	if err != nil {
		return err
	}
	err = running.Run(ctx)
	if errors.Is(err, agent.ErrRemoved) {
		fmt.Fprintln(os.Stderr, err)
		return nil // a service manager must not start it again and again
	}
	return err
}

type versionCommand struct{}

func (c *versionCommand) Run() error {
	fmt.Println("restic-manager-agent", version)
	return nil
}

type statusCommand struct {
	JSON bool `name:"json" help:"Print JSON."`
}

// errNotConnected makes the exit code of status 1 without another word.
var errNotConnected = errors.New("")

func (c *statusCommand) Run(all *commands) error {
	status, err := agent.ReadStatus(all.State)
	if err != nil {
		return err
	}
	if c.JSON {
		encoder := json.NewEncoder(os.Stdout)
		encoder.SetIndent("", "  ")
		err = encoder.Encode(status)
	} else {
		_, err = io.WriteString(os.Stdout, status.Text())
	}
	if err == nil && !status.Connected {
		err = errNotConnected
	}
	return err
}

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), stopSignals()...)
	defer stop()
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	all := new(commands)
	parsed := kong.Parse(all, kong.Name("restic-manager-agent"), kong.ShortUsageOnError(),
		kong.Description("Backs this machine up with restic, as its restic-manager server asks."),
		kong.Vars{"state": agent.DefaultDir, "policy": agent.DefaultPolicyFile},
		kong.BindTo(ctx, (*context.Context)(nil)), kong.Bind(log, all))
	err := parsed.Run()
	if err != nil && err.Error() != "" {
		fmt.Fprintln(os.Stderr, "restic-manager-agent:", err)
	}
	if err != nil {
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
