package demo

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
)

// Sizes of what each host has to save.
const (
	foldersPerKind = 6
	filesPerFolder = 25
	photoBytes     = 64 << 10
)

var words = strings.Fields("backup restore snapshot morning river paper window garden letter invoice travel winter kitchen music number answer method summer harbour station")

// makeFiles fills dir with documents, photos and a small project, and returns
// the folders to back up. The same seed makes the same files.
func makeFiles(dir string, seed uint64) ([]string, error) {
	random := rand.New(rand.NewPCG(seed, 20240131))
	kinds := []struct {
		name, suffix string
		content      func(*rand.Rand) []byte
	}{{"documents", ".txt", text}, {"photos", ".jpg", noise}, {"projects", ".go", text}}
	var sources []string
	for _, kind := range kinds {
		for folder := range foldersPerKind {
			path := filepath.Join(dir, kind.name, fmt.Sprintf("%s-%02d", words[random.IntN(len(words))], folder))
			if err := os.MkdirAll(path, 0o700); err != nil {
				return nil, fmt.Errorf("make example files: %w", err)
			}
			for i := range filesPerFolder {
				name := fmt.Sprintf("%s %s %02d%s", words[random.IntN(len(words))], words[random.IntN(len(words))], i, kind.suffix)
				if err := os.WriteFile(filepath.Join(path, name), kind.content(random), 0o600); err != nil {
					return nil, fmt.Errorf("make example files: %w", err)
				}
			}
		}
		sources = append(sources, filepath.Join(dir, kind.name))
	}
	return sources, nil
}

func text(random *rand.Rand) []byte {
	var out strings.Builder
	for range 20 + random.IntN(200) {
		out.WriteString(words[random.IntN(len(words))])
		if random.IntN(9) == 0 {
			out.WriteString(".\n")
		} else {
			out.WriteByte(' ')
		}
	}
	return []byte(out.String())
}

func noise(random *rand.Rand) []byte {
	out := make([]byte, photoBytes+random.IntN(2*photoBytes))
	for i := range out {
		out[i] = byte(random.Uint32())
	}
	return out
}
