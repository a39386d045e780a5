package rest

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/restic-manager/restic-manager/internal/auth"
	"github.com/restic-manager/restic-manager/internal/crypto"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/server/control"
)

// EnrollmentToken is an invitation in JSON, without its secret.
type EnrollmentToken struct {
	ID            string     `json:"id"`
	Name          string     `json:"name" doc:"Of the host to be; empty takes the machine's own."`
	Tags          []string   `json:"tags" nullable:"false"`
	StorageHostID job.HostID `json:"storage_id" doc:"The storage agent that will make the repository."`
	RepositoryURL string     `json:"repository_url" doc:"Of an existing repository."`
	CreatedAt     *time.Time `json:"created_at"`
	CreatedBy     string     `json:"created_by"`
	ExpiresAt     *time.Time `json:"expires_at"`
	SeenAt        *time.Time `json:"seen_at" doc:"When somebody came with it."`
	SeenAddress   string     `json:"seen_address"`
	UsedAt        *time.Time `json:"used_at"`
	HostID        job.HostID `json:"host_id" doc:"The host that joined with it."`
}

func showEnrollment(e fleet.EnrollmentToken) EnrollmentToken {
	return EnrollmentToken{
		ID: e.ID, Name: e.Name, Tags: orEmpty(e.Tags), StorageHostID: e.Repository.Storage, RepositoryURL: e.Repository.URL,
		CreatedAt: at(e.CreatedAt), CreatedBy: e.CreatedBy, ExpiresAt: at(e.ExpiresAt),
		SeenAt: at(e.SeenAt), SeenAddress: e.SeenAddress, UsedAt: at(e.UsedAt), HostID: e.UsedBy,
	}
}

type newEnrollmentInput struct {
	Body struct {
		Name               string     `json:"name,omitempty" doc:"Without it the machine's own."`
		Tags               []string   `json:"tags,omitempty" nullable:"false"`
		Kind               string     `json:"kind,omitempty" enum:"endpoint,storage" doc:"Who may use it; without it either."`
		StorageHostID      job.HostID `json:"storage_id,omitempty" maxLength:"64" doc:"The storage agent that makes a repository for it. Without it and repository_url the only storage box there is makes one."`
		RepositoryURL      string     `json:"repository_url,omitempty" doc:"An existing repository instead, without credentials."`
		RepositoryUser     string     `json:"repository_user,omitempty" maxLength:"256"`
		RepositoryPassword string     `json:"repository_password,omitempty" maxLength:"1024" doc:"Of that user."`
		RepositoryKey      string     `json:"repository_key,omitempty" maxLength:"1024" doc:"The password of the existing restic repository."`
		LifetimeSeconds    int        `json:"lifetime_seconds,omitempty" minimum:"1" maximum:"86400" doc:"An hour without it."`
	}

	request *http.Request
}

// Resolve implements huma.Resolver.
func (in *newEnrollmentInput) Resolve(ctx huma.Context) []error {
	in.request, _ = humago.Unwrap(ctx)
	return nil
}

// NewEnrollmentToken is an invitation with its secret, which is shown this once.
type NewEnrollmentToken struct {
	EnrollmentToken
	Token   string `json:"token" doc:"Shown this once; the server keeps only a hash."`
	Command string `json:"command" doc:"To run on the new machine; it reads the token from standard input."`
}

func (a *API) createEnrollment(ctx context.Context, who auth.Identity, in *newEnrollmentInput) (*only[NewEnrollmentToken], error) {
	wanted := control.NewEnrollment{
		Name: in.Body.Name, Tags: in.Body.Tags, User: in.Body.RepositoryUser,
		Repository: fleet.RepositoryChoice{Storage: in.Body.StorageHostID, URL: in.Body.RepositoryURL},
		ForStorage: in.Body.Kind == "storage",
		Lifetime:   time.Duration(in.Body.LifetimeSeconds) * time.Second,
	}
	if in.Body.RepositoryURL != "" {
		wanted.Access = &fleet.RepositorySecrets{Password: crypto.NewText(in.Body.RepositoryPassword), Key: crypto.NewText(in.Body.RepositoryKey)}
	}
	made, token, err := a.Control.CreateEnrollmentToken(ctx, who, wanted)
	if err != nil {
		return nil, err
	}
	return &only[NewEnrollmentToken]{NewEnrollmentToken{showEnrollment(made), token, fleet.EnrolCommand(a.Secure(in.request), in.request.Host)}}, nil
}

func (a *API) enrollments(ctx context.Context, _ auth.Identity, in *Paged) (*list[EnrollmentToken], error) {
	found, next, err := a.Store.Enrollments(ctx, in.page())
	if err != nil {
		return nil, err
	}
	return listOf(found, next, showEnrollment), nil
}

func (a *API) enrollment(ctx context.Context, _ auth.Identity, in *ByID) (*only[EnrollmentToken], error) {
	found, err := a.Store.Enrollment(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return &only[EnrollmentToken]{showEnrollment(found)}, nil
}

func (a *API) withdrawEnrollment(ctx context.Context, who auth.Identity, in *ByID) (*nothing, error) {
	return &nothing{}, a.Control.WithdrawEnrollmentToken(ctx, who, in.ID)
}
