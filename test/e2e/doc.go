// Package e2e owns the journeys through the real programs that nothing smaller
// can prove: it drives them from outside and looks at what they leave. It must
// not know anything that an operator could not know.
package e2e
