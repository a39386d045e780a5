package agent

// Where an agent that was told nothing keeps its state and finds its policy.
const (
	DefaultDir        = "/Library/Application Support/restic-manager-agent"
	DefaultPolicyFile = "/Library/Application Support/restic-manager-agent/policy.yaml"
)
