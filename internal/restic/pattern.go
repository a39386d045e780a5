package restic

import (
	"path/filepath"
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

// matchParts expands the first "**" to as many parts as restic would try, which is fewer than there are when
// another one follows it.
func matchParts(parts []patternPart, path []string) bool {
	for at, part := range parts {
		if !part.double {
			continue
		}
		expanded := make([]patternPart, 0, len(path)+len(parts))
		expanded = append(expanded, parts[:at]...)
		for range len(path) - len(parts) + 2 {
			if matchParts(append(expanded, parts[at+1:]...), path) {
				return true
			}
			expanded = append(expanded, patternPart{text: "*"})
		}
		return false
	}
	if len(parts) == 0 {
		return len(path) == 0
	}
	first, last := 0, len(path)-len(parts)
	if parts[0].text == rootPart {
		last = min(last, 0)
	} else if path[0] == rootPart {
		first = 1
	}
	for offset := last; offset >= first; offset-- {
		if matchAt(parts, path[offset:]) {
			return true
		}
	}
	return false
}

func matchAt(parts []patternPart, path []string) bool {
	for i := len(parts) - 1; i >= 0; i-- {
		if parts[i].plain {
			if parts[i].text != path[i] {
				return false
			}
			continue
		}
		// ParseExcludes has refused what could fail here.
		if matched, err := filepath.Match(parts[i].text, path[i]); err != nil || !matched {
			return false
		}
	}
	return true
}
