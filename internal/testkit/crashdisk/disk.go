// Package crashdisk owns a disk in memory, for tests, that keeps apart what was
// synced and what was not, and can run full, fail, or lose power before any
// step. It must not know what is written to it.
package crashdisk

import (
	"errors"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"syscall"
)

// What a disk answers beside the errors of io/fs and of the system.
var (
	ErrPowerCut = errors.New("the power is cut")
	ErrLocked   = errors.New("the lock is taken")
)

const sector = 512

// Disk is one disk. Its fields may be set while nobody uses it.
type Disk struct {
	mu sync.Mutex
	// Names are the files as a running system sees them, DurableNames those after
	// a power cut, but for a beginning of moves.
	Names, DurableNames map[string]*Inode
	moves               []func(names map[string]*Inode)
	locks               map[string]bool

	Steps    int   // changes so far
	CutAt    int   // the power is cut before this step; 0 is never
	Capacity int64 // bytes of all files; 0 is endless
	WriteErr error // what every write fails with; nil is nothing
	SyncErr  error
	Syncs    int
	OnSync   func() // runs without the lock, before each sync
}

// Inode is the content of one file: as a running system sees it, and as far as
// it was synced.
type Inode struct {
	Content, Durable []byte
	pending          []pendingWrite
}

// Unsynced tells whether something was written since the last sync.
func (i *Inode) Unsynced() bool { return len(i.pending) > 0 }

type pendingWrite struct {
	offset int64
	data   []byte
}

// New returns an empty disk.
func New() *Disk {
	return &Disk{Names: map[string]*Inode{}, DurableNames: map[string]*Inode{}, locks: map[string]bool{}}
}

func apply(content []byte, offset int64, data []byte) []byte {
	if grown := offset + int64(len(data)) - int64(len(content)); grown > 0 {
		content = append(content, make([]byte, grown)...)
	}
	copy(content[offset:], data)
	return content
}

// AfterPowerCut is the disk that the next start finds: of what was not synced,
// any writes and sectors may be there, whatever their order, and of the names moved, any beginning.
func (d *Disk) AfterPowerCut(random *rand.Rand) *Disk {
	next := New()
	next.Capacity = d.Capacity
	names := maps.Clone(d.DurableNames)
	if len(d.moves) > 0 {
		for _, move := range d.moves[:random.IntN(len(d.moves)+1)] {
			move(names)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		node := names[name]
		content := append([]byte(nil), node.Durable...)
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
		kept := &Inode{Content: content, Durable: append([]byte(nil), content...)}
		next.Names[name], next.DurableNames[name] = kept, kept
	}
	return next
}

// AfterKill is the disk that the next start finds when only the process died.
func (d *Disk) AfterKill() *Disk {
	d.locks = map[string]bool{}
	d.CutAt = 0
	return d
}

func (d *Disk) step() error {
	d.Steps++
	if d.CutAt > 0 && d.Steps >= d.CutAt {
		return ErrPowerCut
	}
	return nil
}

// Used is the size of all files in bytes.
func (d *Disk) Used() int64 {
	total := int64(0)
	for _, node := range d.Names {
		total += int64(len(node.Content))
	}
	return total
}

// MakeDir has nothing to do: names are whole paths.
func (d *Disk) MakeDir(string) error { return nil }

// Open opens an existing file.
func (d *Disk) Open(path string) (*File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	node, ok := d.Names[path]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return &File{disk: d, node: node}, nil
}

// Create makes an empty file in place of any other.
func (d *Disk) Create(path string) (*File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.step(); err != nil {
		return nil, err
	}
	node := new(Inode)
	d.move(func(names map[string]*Inode) { names[path] = node })
	return &File{disk: d, node: node}, nil
}

func (d *Disk) move(change func(map[string]*Inode)) {
	change(d.Names)
	d.moves = append(d.moves, change)
}

// Rename gives a file another name.
func (d *Disk) Rename(from, to string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.step(); err != nil {
		return err
	}
	node, ok := d.Names[from]
	if !ok {
		return fs.ErrNotExist
	}
	d.move(func(names map[string]*Inode) {
		delete(names, from)
		names[to] = node
	})
	return nil
}

// Remove takes a name away.
func (d *Disk) Remove(path string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.step(); err != nil {
		return err
	}
	d.move(func(names map[string]*Inode) { delete(names, path) })
	return nil
}

// SyncDir makes all names durable.
func (d *Disk) SyncDir(string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.step(); err != nil {
		return err
	}
	for _, move := range d.moves {
		move(d.DurableNames)
	}
	d.moves = nil
	return nil
}

// Lock takes a lock until it is closed, or the process is killed.
func (d *Disk) Lock(path string) (io.Closer, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.locks[path] {
		return nil, ErrLocked
	}
	d.locks[path] = true
	return lock{d, path}, nil
}

type lock struct {
	disk *Disk
	path string
}

func (l lock) Close() error {
	l.disk.mu.Lock()
	defer l.disk.mu.Unlock()
	delete(l.disk.locks, l.path)
	return nil
}

// File is one open file.
type File struct {
	disk   *Disk
	node   *Inode
	closed bool
}

// ReadAt implements io.ReaderAt.
func (f *File) ReadAt(into []byte, offset int64) (int, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if f.closed {
		return 0, fs.ErrClosed
	}
	if offset >= int64(len(f.node.Content)) {
		return 0, io.EOF
	}
	n := copy(into, f.node.Content[offset:])
	if n < len(into) {
		return n, io.EOF
	}
	return n, nil
}

// WriteAt implements io.WriterAt.
func (f *File) WriteAt(data []byte, offset int64) (int, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if f.closed {
		return 0, fs.ErrClosed
	}
	if err := f.disk.step(); err != nil {
		return 0, err
	}
	if f.disk.WriteErr != nil {
		return 0, f.disk.WriteErr
	}
	var failed error
	if f.disk.Capacity > 0 {
		grown := offset + int64(len(data)) - int64(len(f.node.Content))
		if free := f.disk.Capacity - f.disk.Used(); grown > 0 && grown > free {
			data = data[:max(0, int64(len(data))-(grown-max(0, free)))]
			failed = syscall.ENOSPC
		}
	}
	f.node.Content = apply(f.node.Content, offset, data)
	f.node.pending = append(f.node.pending, pendingWrite{offset, append([]byte(nil), data...)})
	return len(data), failed
}

// Size is the size in bytes.
func (f *File) Size() (int64, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	return int64(len(f.node.Content)), nil
}

// Sync makes all that was written durable.
func (f *File) Sync() error {
	if f.disk.OnSync != nil {
		f.disk.OnSync()
	}
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if f.closed {
		return fs.ErrClosed
	}
	if err := f.disk.step(); err != nil {
		return err
	}
	if f.disk.SyncErr != nil {
		return f.disk.SyncErr
	}
	f.disk.Syncs++
	for _, write := range f.node.pending {
		f.node.Durable = apply(f.node.Durable, write.offset, write.data)
	}
	f.node.pending = nil
	return nil
}

// Close implements io.Closer.
func (f *File) Close() error {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if f.closed {
		return fs.ErrClosed
	}
	f.closed = true
	return nil
}
