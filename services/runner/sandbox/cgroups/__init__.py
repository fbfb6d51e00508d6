"""The cgroups of boxes: `find_cgroups` gives the runner's `Cgroups`, which makes a `BoxCgroup` for each box.

Behind them is one `Group` of the kernel's for each box, of cgroup v1 or v2, which serves one box after another.
"""
