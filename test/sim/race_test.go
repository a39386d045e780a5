//go:build race

package sim

const (
	usualSeeds   = 6
	raceDetector = true
)
