package restic

import (
	"errors"
	"fmt"
	"os/exec"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"
)

// Access rights that x/sys does not name (winnt.h).
const (
	jobObjectQuery     = 0x0004
	jobObjectTerminate = 0x0008
)

var openJobObject = windows.NewLazySystemDLL("kernel32.dll").NewProc("OpenJobObjectW")

// jobHandle is the job object that holds a child and all that it starts.
type jobHandle struct{ object windows.Handle }

func (h jobHandle) close() {
	if h.object != 0 {
		_ = windows.CloseHandle(h.object)
	}
}

// jobName is the same in every session of the machine, so that a service finds what it left.
func jobName(jobID string) (*uint16, error) { return windows.UTF16PtrFromString(`Global\rm-` + jobID) }

// start starts the command in a process group of its own and in a job object that is named after the job.
// The child inherits a handle of that object: a name dies with its last handle, so it would otherwise be
// gone with this program, although the object lives as long as its processes.
func start(command *exec.Cmd, jobID string) (*child, error) {
	object, err := createJob(jobID)
	if err != nil {
		return nil, err
	}
	handle := jobHandle{object: object}
	command.SysProcAttr = &syscall.SysProcAttr{
		CreationFlags:              windows.CREATE_NEW_PROCESS_GROUP,
		HideWindow:                 true,
		AdditionalInheritedHandles: []syscall.Handle{syscall.Handle(object)},
	}
	if err := command.Start(); err != nil {
		handle.close()
		return nil, err
	}
	// restic starts nothing in its first moments, so nothing escapes before it is assigned.
	if err := assign(object, command.Process.Pid); err != nil {
		_ = command.Process.Kill()
		_ = command.Wait()
		handle.close()
		return nil, fmt.Errorf("put it into its job object: %w", err)
	}
	return &child{process: newProcess(command.Process, jobID), command: command, handle: handle}, nil
}

func createJob(jobID string) (windows.Handle, error) {
	var name *uint16
	if jobID != "" {
		var err error
		if name, err = jobName(jobID); err != nil {
			return 0, err
		}
	}
	object, err := windows.CreateJobObject(nil, name)
	if errors.Is(err, windows.ERROR_ALREADY_EXISTS) {
		_ = windows.CloseHandle(object)
		return 0, ErrJobBusy
	}
	if err != nil {
		return 0, fmt.Errorf("create its job object: %w", err)
	}
	if err := windows.SetHandleInformation(object, windows.HANDLE_FLAG_INHERIT, windows.HANDLE_FLAG_INHERIT); err != nil {
		_ = windows.CloseHandle(object)
		return 0, fmt.Errorf("let it inherit its job object: %w", err)
	}
	return object, nil
}

func assign(object windows.Handle, pid int) error {
	process, err := windows.OpenProcess(windows.PROCESS_SET_QUOTA|windows.PROCESS_TERMINATE, false, uint32(pid))
	if err != nil {
		return err
	}
	defer func() { _ = windows.CloseHandle(process) }()
	return windows.AssignProcessToJobObject(object, process)
}

// stop sends CTRL_BREAK, which needs a console that this program shares with the child: a service must
// allocate one.
func (c *child) stop() error { return ctrlBreak(c.process.PID) }

func (c *child) kill() error {
	if err := windows.TerminateJobObject(c.handle.object, killedCode); err != nil {
		return fmt.Errorf("end the job object of process %d: %w", c.process.PID, err)
	}
	return nil
}

func ctrlBreak(pid int) error {
	if err := windows.GenerateConsoleCtrlEvent(windows.CTRL_BREAK_EVENT, uint32(pid)); err != nil {
		return fmt.Errorf("send CTRL_BREAK to process group %d: %w", pid, err)
	}
	return nil
}

// openJob opens the job object of a job; 0 means that there is none, so nothing of the job lives.
func openJob(jobID string, access uint32) (windows.Handle, error) {
	if jobID == "" {
		return 0, &InvalidError{Field: "job id", Reason: "is empty"}
	}
	name, err := jobName(jobID)
	if err != nil {
		return 0, err
	}
	object, _, err := openJobObject.Call(uintptr(access), 0, uintptr(unsafe.Pointer(name)))
	if object == 0 && errors.Is(err, windows.ERROR_FILE_NOT_FOUND) {
		return 0, nil
	}
	if object == 0 {
		return 0, fmt.Errorf("open the job object of job %s: %w", jobID, err)
	}
	return windows.Handle(object), nil
}

// FindLeft implements System: the mark is the name of a job object.
func (machine) FindLeft(jobID string) ([]Process, error) {
	object, err := openJob(jobID, jobObjectQuery)
	if err != nil || object == 0 {
		return nil, err
	}
	defer func() { _ = windows.CloseHandle(object) }()
	// JOBOBJECT_BASIC_PROCESS_ID_LIST with room for far more than restic ever starts.
	var list struct {
		assigned, listed uint32
		pids             [1024]uintptr
	}
	err = windows.QueryInformationJobObject(object, windows.JobObjectBasicProcessIdList,
		uintptr(unsafe.Pointer(&list)), uint32(unsafe.Sizeof(list)), nil)
	if err != nil {
		return nil, errors.Join(ErrProcessesUnknown, err)
	}
	var left []Process
	for _, pid := range list.pids[:min(int(list.listed), len(list.pids))] {
		// One that ended in between is not left.
		if at, err := startTime(int(pid)); err == nil {
			left = append(left, Process{PID: int(pid), Started: at, JobID: jobID})
		}
	}
	return left, nil
}

// startTime reads when a process was started.
func startTime(pid int) (time.Time, error) {
	process, err := windows.OpenProcess(windows.PROCESS_QUERY_LIMITED_INFORMATION, false, uint32(pid))
	if err != nil {
		return time.Time{}, err
	}
	defer func() { _ = windows.CloseHandle(process) }()
	var created, ended, kernel, user windows.Filetime
	if err := windows.GetProcessTimes(process, &created, &ended, &kernel, &user); err != nil {
		return time.Time{}, err
	}
	return time.Unix(0, created.Nanoseconds()), nil
}

// Stop implements System. It fails when the process was started by a program with another console, as after a
// restart of the agent.
func (machine) Stop(p Process) error {
	object, err := openJob(p.JobID, jobObjectQuery)
	if err != nil || object == 0 {
		return err
	}
	defer func() { _ = windows.CloseHandle(object) }()
	return ctrlBreak(p.PID)
}

// Kill implements System.
func (machine) Kill(p Process) error {
	object, err := openJob(p.JobID, jobObjectTerminate)
	if err != nil || object == 0 {
		return err
	}
	defer func() { _ = windows.CloseHandle(object) }()
	if err := windows.TerminateJobObject(object, killedCode); err != nil {
		return fmt.Errorf("end the job object of job %s: %w", p.JobID, err)
	}
	return nil
}
