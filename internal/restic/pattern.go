package restic

import (
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Excludes are exclude patterns as restic 0.19 understands them. A pattern matches a path, and all below it,
// when its parts match consecutive parts of the path: anywhere in it, or from the root for a pattern that
// begins with a slash. "**" stands for any number of parts, and what else is special in one part is what
// filepath.Match knows. A pattern after "!" takes back what those before it have matched.
type Excludes struct{ patterns []pattern }

type pattern struct {
	parts   []patternPart
	negated bool
	depth   int // how many parts a path has at least that it matches
}

type patternPart struct {
	text   string
	plain  bool // nothing in it is special
	double bool // "**"
}

// rootPart is the first part of an absolute path with slashes.
const rootPart = "/"

// ParseExcludes reads patterns. Its error is an *InvalidError that names the first one that restic refuses.
func ParseExcludes(texts []string) (Excludes, error) {
	excludes := Excludes{patterns: make([]pattern, 0, len(texts))}
	for _, text := range texts {
		if text == "" || strings.ContainsRune(text, 0) {
			return Excludes{}, &InvalidError{Field: "exclude", Reason: "is empty or contains a zero byte"}
		}
		parsed := parsePattern(text)
		for _, part := range parsed.parts {
			if _, err := filepath.Match(part.text, part.text); err != nil {
				return Excludes{}, &InvalidError{Field: "exclude " + strconv.Quote(text), Reason: "is not a pattern that restic understands"}
			}
		}
		excludes.patterns = append(excludes.patterns, parsed)
	}
	return excludes, nil
}

func parsePattern(text string) pattern {
	text, negated := strings.CutPrefix(text, "!")
	parsed := pattern{negated: negated}
	for _, part := range splitPath(filepath.Clean(text)) {
		// The root alone is cut into itself and nothing, which restic takes for any number of parts.
		double := part == "**" || part == ""
		parsed.parts = append(parsed.parts, patternPart{text: part, plain: !strings.ContainsAny(part, `\[]*?`), double: double})
		if !double {
			parsed.depth++
		}
	}
	return parsed
}

// splitPath cuts a clean path at its separators; the root of an absolute one is a part of its own.
func splitPath(path string) []string {
	parts := strings.Split(filepath.ToSlash(path), "/")
	if parts[0] == "" {
		parts[0] = rootPart
	}
	return parts
}

// Match returns the index of the pattern that takes a clean path out, or -1.
func (e Excludes) Match(path string) int { return e.match(splitPath(path)) }

func (e Excludes) match(path []string) int {
	by := -1
	for i, p := range e.patterns {
		// Only what changes the answer is worth a look.
		if p.negated != (by >= 0) || len(path) < p.depth || !matchParts(p.parts, path) {
			continue
		}
		by = i
		if p.negated {
			by = -1
		}
	}
	return by
}

// matchParts tries every offset. Its time grows with the third power of the length at most: trying every way to
// expand each "**", as restic does, would let one pattern stop a walk.
func matchParts(parts []patternPart, path []string) bool {
	doubles := 0
	for _, part := range parts {
		if part.double {
			doubles++
		}
	}
	first, last := 0, len(path)-len(parts)+doubles
	if parts[0].text == rootPart {
		last = min(last, 0)
	} else if path[0] == rootPart {
		first = 1
	}
	for offset := last; offset >= first; offset-- {
		if doubles == 0 && matchAt(parts, path[offset:]) || doubles > 0 && matchAround(parts, path, offset, doubles) {
			return true
		}
	}
	return false
}

// matchAround matches parts with "**" among them from an offset on. restic expands the first "**" to no more
// parts than leave one of the path for each other "**", though those may come to nothing.
func matchAround(parts []patternPart, path []string, offset, doubles int) bool {
	fixed := len(parts) - doubles
	spare := len(path) - fixed
	reached := make([]bool, len(path)+1) // how much of the path the parts so far can have taken
	reached[offset] = true
	taken := offset // by the parts so far, were each "**" nothing
	for _, part := range parts {
		if part.double {
			doubles--
			most := taken + spare - doubles
			for at := range reached {
				if at > most {
					reached[at] = false
				} else if at > 0 && reached[at-1] && !reached[at] {
					reached[at] = anyPart.matches(path[at-1])
				}
			}
			continue
		}
		taken++
		for at := len(path); at > 0; at-- {
			reached[at] = reached[at-1] && part.matches(path[at-1])
		}
		reached[0] = false
	}
	if fixed == 0 {
		reached[offset] = false // a pattern takes one part at least
	}
	return slices.Contains(reached, true)
}

// anyPart is what a "**" is expanded to.
var anyPart = patternPart{text: "*"}

func (p patternPart) matches(name string) bool {
	if p.plain {
		return p.text == name
	}
	// ParseExcludes has refused what could fail here.
	matched, err := filepath.Match(p.text, name)
	return err == nil && matched
}

func matchAt(parts []patternPart, path []string) bool {
	for i := len(parts) - 1; i >= 0; i-- {
		if !parts[i].matches(path[i]) {
			return false
		}
	}
	return true
}
