package main

import (
	"testing"
	"testing/fstest"
)

const meminfo = "MemTotal:  16777216 kB\nMemFree: 1 kB\nMemAvailable:  8388608 kB\n"

func TestMemoryOfControlGroups(t *testing.T) {
	const gib = 1 << 30
	const v1Mount = "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"
	const v2Mount = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
	for name, c := range map[string]struct {
		files       map[string]string
		total, free int64
	}{
		"none": {nil, 16 * gib, 8 * gib},
		"v2, no limit": {map[string]string{
			"proc/self/cgroup": "0::/user.slice/app\n", "proc/self/mountinfo": v2Mount, "sys/fs/cgroup/user.slice/app/memory.max": "max\n",
		}, 16 * gib, 8 * gib},
		"v2, a limit on the group around": {map[string]string{
			"proc/self/cgroup": "0::/user.slice/app\n", "proc/self/mountinfo": v2Mount,
			"sys/fs/cgroup/user.slice/app/memory.max": "6442450944\n", "sys/fs/cgroup/user.slice/app/memory.current": "1073741824\n",
			"sys/fs/cgroup/user.slice/memory.max": "4294967296\n", "sys/fs/cgroup/user.slice/memory.current": "3221225472\n",
			"sys/fs/cgroup/user.slice/memory.stat": "anon 1\nactive_file 2\ninactive_file 1073741824\n",
		}, 4 * gib, 2 * gib},
		"v2, a container": {map[string]string{
			"proc/self/cgroup": "0::/\n", "proc/self/mountinfo": v2Mount, "sys/fs/cgroup/memory.max": "2147483648\n", "sys/fs/cgroup/memory.current": "4294967296\n",
		}, 2 * gib, 0},
		"v1": {map[string]string{
			"proc/self/cgroup": "4:memory:/a/b\n3:cpuset:/\n0::/\n", "proc/self/mountinfo": v1Mount,
			"sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n", "sys/fs/cgroup/memory/memory.usage_in_bytes": "5\n",
			"sys/fs/cgroup/memory/a/b/memory.limit_in_bytes": "3221225472\n", "sys/fs/cgroup/memory/a/b/memory.usage_in_bytes": "2147483648\n",
			"sys/fs/cgroup/memory/a/b/memory.stat": "inactive_file 7\ntotal_inactive_file 1073741824\n",
		}, 3 * gib, 2 * gib},
		"v1, a container that sees only its own group": {map[string]string{
			"proc/self/cgroup": "4:cpu,memory:/docker/1\n", "proc/self/mountinfo": "35 31 0:32 /docker/1 /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes": "1073741824\n",
		}, gib, gib},
		"a group that is not mounted here": {map[string]string{
			"proc/self/cgroup": "0::/../other\n", "proc/self/mountinfo": v2Mount, "sys/fs/cgroup/memory.max": "1073741824\n",
		}, gib, gib},
		"nonsense": {map[string]string{
			"proc/self/cgroup": "0:\nx\n:::::\n\n4:memory:\n", "proc/self/mountinfo": "- - -\n1 2 3 - cgroup2\n" + v1Mount,
		}, 16 * gib, 8 * gib},
	} {
		files := fstest.MapFS{"proc/meminfo": {Data: []byte(meminfo)}}
		for path, text := range c.files {
			files[path] = &fstest.MapFile{Data: []byte(text)}
		}
		if total, free := memoryOf(files); total != c.total || free != c.free {
			t.Errorf("%s: have %d, %d, want %d, %d", name, total, free, c.total, c.free)
		}
	}
	if total, free := memoryOf(fstest.MapFS{}); total != 0 || free != 0 {
		t.Errorf("no files: have %d, %d", total, free)
	}
	if total, free := machineMemory(); total <= 0 || free <= 0 || free > total {
		t.Errorf("this machine: have %d, %d", total, free)
	}
}
