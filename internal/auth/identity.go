package auth

// IdentityKind says what stands behind a request.
type IdentityKind string

// Kinds of identities.
const (
	ByUser   IdentityKind = "user"
	ByToken  IdentityKind = "token"
	ByServer IdentityKind = "server"
)

// Identity is who asks for something. The zero value is nobody and may do
// nothing.
type Identity struct {
	Kind IdentityKind
	ID   string // of the user or the API token
	Name string
	Role Role
	// Address is the peer's, without port; "" for the server itself.
	Address string
}

// Server is the server acting by itself, or a command on its own machine.
var Server = Identity{Kind: ByServer, Role: Admin}

// Allows tells whether the identity may do what p names. Only a user has an
// account of its own.
func (i Identity) Allows(p Permission) bool {
	switch i.Kind {
	case ByUser:
		return i.Role.Holds(p)
	case ByToken, ByServer:
		return p != AccountOwn && i.Role.Holds(p)
	}
	return false
}

// Known tells whether there is anybody at all.
func (i Identity) Known() bool { return i.Kind != "" }

// Label is how audit entries and jobs name the identity. A user can't be named
// like a token or the server, see CheckUserName.
func (i Identity) Label() string {
	switch i.Kind {
	case ByUser:
		return i.Name
	case ByToken:
		return "token " + i.Name
	case ByServer:
		return "server"
	}
	return ""
}
