package journal

import (
	"errors"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"strings"
	"sync"
	"syscall"
)

var errPowerCut = errors.New("the power is cut")

const sector = 512

// memDisk is a disk in memory that keeps apart what was synced and what was
// not, and can run full, fail, or lose power before any step.
type memDisk struct {
	mu    sync.Mutex
	names map[string]*inode
	// durableNames are the names after a power cut, but for a beginning of moves.
	durableNames map[string]*inode
	moves        []func(names map[string]*inode)
	locks        map[string]bool

	steps    int
	cutAt    int   // the power is cut before this step; 0 is never
	capacity int64 // bytes of all files; 0 is endless
	writeErr error
	syncErr  error
	syncs    int
	onSync   func() // runs without the lock
}

type inode struct {
	content, durable []byte
	pending          []pendingWrite
}

type pendingWrite struct {
	offset int64
	data   []byte
}

func newMemDisk() *memDisk {
	return &memDisk{names: map[string]*inode{}, durableNames: map[string]*inode{}, locks: map[string]bool{}}
}

func apply(content []byte, offset int64, data []byte) []byte {
	if grown := offset + int64(len(data)) - int64(len(content)); grown > 0 {
		content = append(content, make([]byte, grown)...)
	}
	copy(content[offset:], data)
	return content
}

// afterPowerCut is the disk that the next start finds: of what was not synced,
// any writes and sectors may be there, whatever their order, and of the names moved, any beginning.
func (d *memDisk) afterPowerCut(random *rand.Rand) *memDisk {
	next := newMemDisk()
	next.capacity = d.capacity
	names := maps.Clone(d.durableNames)
	if len(d.moves) > 0 {
		for _, move := range d.moves[:random.IntN(len(d.moves)+1)] {
			move(names)
		}
	}
	for name, node := range names {
		content := append([]byte(nil), node.durable...)
		for _, write := range node.pending {
			luck := float64(random.IntN(3)) / 2 // none of it, some, all
			for from := int64(0); from < int64(len(write.data)); {
				length := min(sector-(write.offset+from)%sector, int64(len(write.data))-from)
				if random.Float64() < luck {
					content = apply(content, write.offset+from, write.data[from:from+length])
				}
				from += length
			}
		}
		kept := &inode{content: content, durable: append([]byte(nil), content...)}
		next.names[name], next.durableNames[name] = kept, kept
	}
	return next
}

// afterKill is the disk that the next start finds when only the process died.
func (d *memDisk) afterKill() *memDisk {
	d.locks = map[string]bool{}
	d.cutAt = 0
	return d
}

func (d *memDisk) step() error {
	d.steps++
	if d.cutAt > 0 && d.steps >= d.cutAt {
		return errPowerCut
	}
	return nil
}

func (d *memDisk) used() int64 {
	total := int64(0)
	for _, node := range d.names {
		total += int64(len(node.content))
	}
	return total
}

func (d *memDisk) MakeDir(string) error { return nil }

func (d *memDisk) Open(path string) (File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	node, ok := d.names[path]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return &memFile{disk: d, node: node}, nil
}

func (d *memDisk) Create(path string) (File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.step(); err != nil {
		return nil, err
	}
	node := new(inode)
	d.move(func(names map[string]*inode) { names[path] = node })
	return &memFile{disk: d, node: node}, nil
}

func (d *memDisk) move(change func(map[string]*inode)) {
	change(d.names)
	d.moves = append(d.moves, change)
}

func (d *memDisk) Rename(from, to string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.step(); err != nil {
		return err
	}
	node, ok := d.names[from]
	if !ok {
		return fs.ErrNotExist
	}
	d.move(func(names map[string]*inode) {
		delete(names, from)
		names[to] = node
	})
	return nil
}

func (d *memDisk) Remove(path string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.step(); err != nil {
		return err
	}
	d.move(func(names map[string]*inode) { delete(names, path) })
	return nil
}

func (d *memDisk) SyncDir(string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.step(); err != nil {
		return err
	}
	for _, move := range d.moves {
		move(d.durableNames)
	}
	d.moves = nil
	return nil
}

func (d *memDisk) Lock(path string) (io.Closer, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.locks[path] {
		return nil, ErrInUse
	}
	d.locks[path] = true
	return memLock{d, path}, nil
}

type memLock struct {
	disk *memDisk
	path string
}

func (l memLock) Close() error {
	l.disk.mu.Lock()
	defer l.disk.mu.Unlock()
	delete(l.disk.locks, l.path)
	return nil
}

// asides lists the files that hold damaged bytes.
func (d *memDisk) asides() []string {
	var list []string
	for name := range d.names {
		if strings.Contains(name, damagedName) {
			list = append(list, name)
		}
	}
	return list
}

type memFile struct {
	disk   *memDisk
	node   *inode
	closed bool
}

func (f *memFile) ReadAt(into []byte, offset int64) (int, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if f.closed {
		return 0, fs.ErrClosed
	}
	if offset >= int64(len(f.node.content)) {
		return 0, io.EOF
	}
	n := copy(into, f.node.content[offset:])
	if n < len(into) {
		return n, io.EOF
	}
	return n, nil
}

func (f *memFile) WriteAt(data []byte, offset int64) (int, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if f.closed {
		return 0, fs.ErrClosed
	}
	if err := f.disk.step(); err != nil {
		return 0, err
	}
	if f.disk.writeErr != nil {
		return 0, f.disk.writeErr
	}
	var failed error
	if f.disk.capacity > 0 {
		grown := offset + int64(len(data)) - int64(len(f.node.content))
		if free := f.disk.capacity - f.disk.used(); grown > 0 && grown > free {
			data = data[:max(0, int64(len(data))-(grown-max(0, free)))]
			failed = syscall.ENOSPC
		}
	}
	f.node.content = apply(f.node.content, offset, data)
	f.node.pending = append(f.node.pending, pendingWrite{offset, append([]byte(nil), data...)})
	return len(data), failed
}

func (f *memFile) Size() (int64, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	return int64(len(f.node.content)), nil
}

func (f *memFile) Sync() error {
	if f.disk.onSync != nil {
		f.disk.onSync()
	}
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if f.closed {
		return fs.ErrClosed
	}
	if err := f.disk.step(); err != nil {
		return err
	}
	if f.disk.syncErr != nil {
		return f.disk.syncErr
	}
	f.disk.syncs++
	for _, write := range f.node.pending {
		f.node.durable = apply(f.node.durable, write.offset, write.data)
	}
	f.node.pending = nil
	return nil
}

func (f *memFile) Close() error {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if f.closed {
		return fs.ErrClosed
	}
	f.closed = true
	return nil
}
