//go:build race

package sim

// usualSeeds are few: the race detector costs ten times the time.
const usualSeeds = 10
