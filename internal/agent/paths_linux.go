package agent

// Where an agent that was told nothing keeps its state and finds its policy.
const (
	DefaultDir        = "/var/lib/restic-manager-agent"
	DefaultPolicyFile = "/etc/restic-manager-agent/policy.yaml"
)
