package sim

import (
	"math/rand/v2"
	"time"
)

// chance is one source of chance. Each thing has one of its own, so that what one
// draws does not change what becomes of all others.
type chance struct{ *rand.Rand }

// newChance is what a thing draws from: the same for the same seed and names.
func (w *world) newChance(kind, number int) chance {
	return chance{rand.New(rand.NewPCG(w.seed, uint64(kind)<<32|uint64(uint32(number))))}
}

// Kinds of things that draw.
const (
	chanceOfScript = iota
	chanceOfLink
	chanceOfBoot // and its machine's number above
	chanceOfProcess
	chanceOfNode
)

// between is a random time.
func (c chance) between(shortest, longest time.Duration) time.Duration {
	if longest <= shortest {
		return shortest
	}
	return shortest + time.Duration(c.Int64N(int64(longest-shortest)))
}

// number and between draw for what the world does to itself, which one goroutine
// does.
func (w *world) number(n int) int { return w.chance.IntN(n) }

func (w *world) between(shortest, longest time.Duration) time.Duration {
	return w.chance.between(shortest, longest)
}
