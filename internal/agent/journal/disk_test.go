package journal

import (
	"errors"
	"io"
	"math/rand/v2"
	"strings"

	"github.com/restic-manager/restic-manager/internal/testkit/crashdisk"
)

// memDisk is a disk in memory under a journal.
type memDisk struct{ *crashdisk.Disk }

func newMemDisk() *memDisk { return &memDisk{crashdisk.New()} }

func (d *memDisk) afterPowerCut(random *rand.Rand) *memDisk { return &memDisk{d.AfterPowerCut(random)} }

func (d *memDisk) afterKill() *memDisk { return &memDisk{d.AfterKill()} }

func (d *memDisk) Open(path string) (File, error) { return opened(d.Disk.Open(path)) }

func (d *memDisk) Create(path string) (File, error) { return opened(d.Disk.Create(path)) }

func opened(file *crashdisk.File, err error) (File, error) {
	if err != nil {
		return nil, err
	}
	return file, nil
}

func (d *memDisk) Lock(path string) (io.Closer, error) {
	lock, err := d.Disk.Lock(path)
	if errors.Is(err, crashdisk.ErrLocked) {
		err = ErrInUse
	}
	return lock, err
}

// asides lists the files that hold damaged bytes.
func (d *memDisk) asides() []string {
	var list []string
	for name := range d.Names {
		if strings.Contains(name, damagedName) {
			list = append(list, name)
		}
	}
	return list
}
