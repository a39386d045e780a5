package agent

// Where an agent that was told nothing keeps its state and finds its policy.
const (
	DefaultDir        = "/var/db/restic-manager-agent"
	DefaultPolicyFile = "/usr/local/etc/restic-manager-agent/policy.yaml"
)
