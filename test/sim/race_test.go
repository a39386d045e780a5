//go:build race

package sim

const (
	usualSeeds   = 10
	raceDetector = true
)
