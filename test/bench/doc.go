// Package bench owns the figures of the design: it measures them with the real
// programs on the machine it runs on, and prints them beside what the design
// wants. It is all benchmarks, for Linux. It asserts no time, and it must not
// know how the programs reach their figures.
package bench
