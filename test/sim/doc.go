// Package sim owns the simulation: the real server core on its real database and
// real agents, over a network in memory, with a scripted restic, disks that lose
// what was not synced, and clocks that can be wrong, in a bubble where time costs
// nothing. It must not know how either side does anything: it breaks things,
// watches what restic was really made to do, and compares that with what is told.
package sim
