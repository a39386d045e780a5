package agent

import "os"

// basicEnvironment is what any program of this system may expect.
func basicEnvironment() []string {
	root := os.Getenv("SystemRoot")
	env := []string{`PATH=` + root + `\System32;` + root + `;` + root + `\System32\WindowsPowerShell\v1.0`}
	for _, name := range []string{"SystemRoot", "SystemDrive", "windir", "ComSpec", "PATHEXT", "ProgramData", "ProgramFiles", "USERPROFILE", "TEMP", "TMP"} {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// scriptProblem says why a script of the policy must not be run, or "". Access
// lists are not judged here: who may change the script is for whoever wrote the
// policy to mind.
func scriptProblem(path string) string {
	info, err := os.Stat(path)
	if err != nil {
		return "it can't be looked at: " + err.Error()
	}
	if !info.Mode().IsRegular() {
		return path + " is not a file"
	}
	return ""
}
