"""The documents of docker's `inspect`, `version` and `info`, as docker 20.10's client declares them in Go.

A template sees these types, so they decide how an absent value prints: a nil pointer `<nil>`, a nil slice `[]`, a nil
map `map[]`. gotemplate/values.py reads the table; model/docker.py writes the documents. A field is: its name in Go, `:`
and its key in JSON if that differs, its type, and `?` if JSON leaves it out while it is empty. A type alone is an
embedded struct: its fields count as the outer struct's. Fields after `+` are mydocker's own.
"""

from __future__ import annotations

# kind of thing -> the type of its document
DOCUMENTS = {
    "container": "types.ContainerJSON",
    "image": "types.ImageInspect",
    "network": "types.NetworkResource",
    "volume": "types.Volume",
    "version": "system.versionInfo",
    "info": "system.info",
}

# name of a type that is not a struct -> the underlying type
NAMED = {
    "container.CgroupSpec": "string",
    "container.CgroupnsMode": "string",
    "container.IpcMode": "string",
    "container.Isolation": "string",
    "container.NetworkMode": "string",
    "container.PidMode": "string",
    "container.UTSMode": "string",
    "container.UsernsMode": "string",
    "fs.FileMode": "uint32",
    "mount.Consistency": "string",
    "mount.Propagation": "string",
    "mount.Type": "string",
    "nat.Port": "string",
    "nat.PortMap": "map[nat.Port][]nat.PortBinding",
    "nat.PortSet": "map[nat.Port]struct{}",
    "strslice.StrSlice": "[]string",
    "swarm.LocalNodeState": "string",
    "time.Duration": "int64",
}

# name of a struct with a String() method -> what that returns
STRINGS = {"units.Ulimit": "{Name}={Soft}:{Hard}"}

# name of a struct -> its fields
STRUCTS = {
    "struct{}": "",
    "types.ContainerJSON": """
        *types.ContainerJSONBase, Mounts []types.MountPoint, Config *container.Config,
        NetworkSettings *types.NetworkSettings
    """,
    "types.ContainerJSONBase": """
        ID:Id string, Created string, Path string, Args []string, State *types.ContainerState, Image string,
        ResolvConfPath string, HostnamePath string, HostsPath string, LogPath string, Node *types.ContainerNode ?,
        Name string, RestartCount int, Driver string, Platform string, MountLabel string, ProcessLabel string,
        AppArmorProfile string, ExecIDs []string, HostConfig *container.HostConfig, GraphDriver types.GraphDriverData,
        SizeRw *int64 ?, SizeRootFs *int64 ?
    """,
    "types.ContainerNode": """
        ID string, IPAddress:IP string, Addr string, Name string, Cpus int, Memory int64, Labels map[string]string
    """,
    "types.ContainerState": """
        Status string, Running bool, Paused bool, Restarting bool, OOMKilled bool, Dead bool, Pid int, ExitCode int,
        Error string, StartedAt string, FinishedAt string, Health *types.Health ?
    """,
    "types.Health": "Status string, FailingStreak int, Log []*types.HealthcheckResult",
    "types.HealthcheckResult": "Start time.Time, End time.Time, ExitCode int, Output string",
    "types.GraphDriverData": "Data map[string]string, Name string",
    "types.MountPoint": """
        Type mount.Type ?, Name string ?, Source string, Destination string, Driver string ?, Mode string, RW bool,
        Propagation mount.Propagation
    """,
    "types.NetworkSettings": """
        types.NetworkSettingsBase, types.DefaultNetworkSettings, Networks map[string]*network.EndpointSettings
    """,
    "types.NetworkSettingsBase": """
        Bridge string, SandboxID string, HairpinMode bool, LinkLocalIPv6Address string, LinkLocalIPv6PrefixLen int,
        Ports nat.PortMap, SandboxKey string, SecondaryIPAddresses []network.Address,
        SecondaryIPv6Addresses []network.Address
    """,
    "types.DefaultNetworkSettings": """
        EndpointID string, Gateway string, GlobalIPv6Address string, GlobalIPv6PrefixLen int, IPAddress string,
        IPPrefixLen int, IPv6Gateway string, MacAddress string
    """,
    "network.Address": "Addr string, PrefixLen int",
    "network.EndpointSettings": """
        IPAMConfig *network.EndpointIPAMConfig, Links []string, Aliases []string, NetworkID string, EndpointID string,
        Gateway string, IPAddress string, IPPrefixLen int, IPv6Gateway string, GlobalIPv6Address string,
        GlobalIPv6PrefixLen int, MacAddress string, DriverOpts map[string]string, +, DNSNames []string
    """,
    "network.EndpointIPAMConfig": "IPv4Address string ?, IPv6Address string ?, LinkLocalIPs []string ?",
    "nat.PortBinding": "HostIP:HostIp string, HostPort string",
    "container.Config": """
        Hostname string, Domainname string, User string, AttachStdin bool, AttachStdout bool, AttachStderr bool,
        ExposedPorts nat.PortSet ?, Tty bool, OpenStdin bool, StdinOnce bool, Env []string, Cmd strslice.StrSlice,
        Healthcheck *container.HealthConfig ?, ArgsEscaped bool ?, Image string, Volumes map[string]struct{},
        WorkingDir string, Entrypoint strslice.StrSlice, NetworkDisabled bool ?, MacAddress string ?, OnBuild []string,
        Labels map[string]string, StopSignal string ?, StopTimeout *int ?, Shell strslice.StrSlice ?
    """,
    "container.HealthConfig": """
        Test []string ?, Interval time.Duration ?, Timeout time.Duration ?, StartPeriod time.Duration ?, Retries int ?
    """,
    "container.HostConfig": """
        Binds []string, ContainerIDFile string, LogConfig container.LogConfig, NetworkMode container.NetworkMode,
        PortBindings nat.PortMap, RestartPolicy container.RestartPolicy, AutoRemove bool, VolumeDriver string,
        VolumesFrom []string, CapAdd strslice.StrSlice, CapDrop strslice.StrSlice, CgroupnsMode container.CgroupnsMode,
        DNS:Dns []string, DNSOptions:DnsOptions []string, DNSSearch:DnsSearch []string, ExtraHosts []string,
        GroupAdd []string, IpcMode container.IpcMode, Cgroup container.CgroupSpec, Links []string, OomScoreAdj int,
        PidMode container.PidMode, Privileged bool, PublishAllPorts bool, ReadonlyRootfs bool, SecurityOpt []string,
        StorageOpt map[string]string ?, Tmpfs map[string]string ?, UTSMode container.UTSMode,
        UsernsMode container.UsernsMode, ShmSize int64, Sysctls map[string]string ?, Runtime string ?,
        ConsoleSize [2]uint, Isolation container.Isolation, container.Resources, Mounts []mount.Mount ?,
        MaskedPaths []string, ReadonlyPaths []string, Init *bool ?
    """,
    "container.LogConfig": "Type string, Config map[string]string",
    "container.RestartPolicy": "Name string, MaximumRetryCount int",
    "container.Resources": """
        CPUShares:CpuShares int64, Memory int64, NanoCPUs:NanoCpus int64, CgroupParent string, BlkioWeight uint16,
        BlkioWeightDevice []*blkiodev.WeightDevice, BlkioDeviceReadBps []*blkiodev.ThrottleDevice,
        BlkioDeviceWriteBps []*blkiodev.ThrottleDevice, BlkioDeviceReadIOps []*blkiodev.ThrottleDevice,
        BlkioDeviceWriteIOps []*blkiodev.ThrottleDevice, CPUPeriod:CpuPeriod int64, CPUQuota:CpuQuota int64,
        CPURealtimePeriod:CpuRealtimePeriod int64, CPURealtimeRuntime:CpuRealtimeRuntime int64, CpusetCpus string,
        CpusetMems string, Devices []container.DeviceMapping, DeviceCgroupRules []string,
        DeviceRequests []container.DeviceRequest, KernelMemory int64, KernelMemoryTCP int64, MemoryReservation int64,
        MemorySwap int64, MemorySwappiness *int64, OomKillDisable *bool, PidsLimit *int64, Ulimits []*units.Ulimit,
        CPUCount:CpuCount int64, CPUPercent:CpuPercent int64, IOMaximumIOps uint64, IOMaximumBandwidth uint64
    """,
    "container.DeviceMapping": "PathOnHost string, PathInContainer string, CgroupPermissions string",
    "container.DeviceRequest": """
        Driver string, Count int, DeviceIDs []string, Capabilities [][]string, Options map[string]string
    """,
    "blkiodev.WeightDevice": "Path string, Weight uint16",
    "blkiodev.ThrottleDevice": "Path string, Rate uint64",
    "units.Ulimit": "Name string, Hard int64, Soft int64",
    "mount.Mount": """
        Type mount.Type ?, Source string ?, Target string ?, ReadOnly bool ?, Consistency mount.Consistency ?,
        BindOptions *mount.BindOptions ?, VolumeOptions *mount.VolumeOptions ?, TmpfsOptions *mount.TmpfsOptions ?
    """,
    "mount.BindOptions": "Propagation mount.Propagation ?, NonRecursive bool ?",
    "mount.VolumeOptions": "NoCopy bool ?, Labels map[string]string ?, DriverConfig *mount.Driver ?",
    "mount.Driver": "Name string ?, Options map[string]string ?",
    "mount.TmpfsOptions": "SizeBytes int64 ?, Mode fs.FileMode ?",
    "types.ImageInspect": """
        ID:Id string, RepoTags []string, RepoDigests []string, Parent string, Comment string, Created string,
        Container string, ContainerConfig *container.Config, DockerVersion string, Author string,
        Config *container.Config, Architecture string, Variant string ?, Os string, OsVersion string ?, Size int64,
        VirtualSize int64, GraphDriver types.GraphDriverData, RootFS types.RootFS, Metadata types.ImageMetadata
    """,
    "types.RootFS": "Type string, Layers []string ?, BaseLayer string ?",
    "types.ImageMetadata": "LastTagTime time.Time",
    "types.NetworkResource": """
        Name string, ID:Id string, Created time.Time, Scope string, Driver string, EnableIPv6 bool, IPAM network.IPAM,
        Internal bool, Attachable bool, Ingress bool, ConfigFrom network.ConfigReference, ConfigOnly bool,
        Containers map[string]types.EndpointResource, Options map[string]string, Labels map[string]string,
        Peers []network.PeerInfo ?, Services map[string]network.ServiceInfo ?
    """,
    "types.EndpointResource": """
        Name string, EndpointID string, MacAddress string, IPv4Address string, IPv6Address string
    """,
    "network.IPAM": "Driver string, Options map[string]string, Config []network.IPAMConfig",
    "network.IPAMConfig": """
        Subnet string ?, IPRange string ?, Gateway string ?, AuxAddress:AuxiliaryAddresses map[string]string ?
    """,
    "network.ConfigReference": "Network string",
    "network.PeerInfo": "Name string, IP string",
    "network.ServiceInfo": "VIP string, Ports []string, LocalLBIndex int, Tasks []network.Task",
    "network.Task": "Name string, EndpointID string, EndpointIP string, Info map[string]string",
    "types.Volume": """
        CreatedAt string ?, Driver string, Labels map[string]string, Mountpoint string, Name string,
        Options map[string]string, Scope string, Status map[string]interface{} ?, UsageData *types.VolumeUsageData ?
    """,
    "types.VolumeUsageData": "RefCount int64, Size int64",
    "system.versionInfo": """
        Client system.clientVersion, Server *types.Version, +, Version string, OCIRuntimeSpec string,
        OCIImageSpec string, Python string, KernelVersion string, Os string, Arch string
    """,
    "system.clientVersion": """
        Platform struct{Name} ?, Version string, APIVersion:ApiVersion string, DefaultAPIVersion string ?,
        GitCommit string, GoVersion string, Os string, Arch string, BuildTime string ?, Context string,
        Experimental bool
    """,
    "struct{Name}": "Name string",
    "types.Version": """
        Platform struct{Name} ?, Components []types.ComponentVersion ?, Version string, APIVersion:ApiVersion string,
        MinAPIVersion string ?, GitCommit string, GoVersion string, Os string, Arch string, KernelVersion string ?,
        Experimental bool ?, BuildTime string ?
    """,
    "types.ComponentVersion": "Name string, Version string, Details map[string]string ?",
    "system.info": """
        *types.Info, ServerErrors []string ?, ClientInfo *system.clientInfo, ClientErrors []string ?, +,
        ContainersUnreadable int, DriverReason string, CgroupControllers []string, RunDir string, ConfigFile string,
        BootID string
    """,
    "system.clientInfo": "Debug bool, Context string, Plugins []interface{}, Warnings []string",
    "types.Info": """
        ID string, Containers int, ContainersRunning int, ContainersPaused int, ContainersStopped int, Images int,
        Driver string, DriverStatus [][2]string, SystemStatus [][2]string ?, Plugins types.PluginsInfo,
        MemoryLimit bool, SwapLimit bool, KernelMemory bool, KernelMemoryTCP bool, CPUCfsPeriod:CpuCfsPeriod bool,
        CPUCfsQuota:CpuCfsQuota bool, CPUShares bool, CPUSet bool, PidsLimit bool, IPv4Forwarding bool,
        BridgeNfIptables bool, BridgeNfIP6tables:BridgeNfIp6tables bool, Debug bool, NFd int, OomKillDisable bool,
        NGoroutines int, SystemTime string, LoggingDriver string, CgroupDriver string, CgroupVersion string ?,
        NEventsListener int, KernelVersion string, OperatingSystem string, OSVersion string, OSType string,
        Architecture string, IndexServerAddress string, RegistryConfig *registry.ServiceConfig, NCPU int,
        MemTotal int64, GenericResources []interface{}, DockerRootDir string, HTTPProxy:HttpProxy string,
        HTTPSProxy:HttpsProxy string, NoProxy string, Name string, Labels []string, ExperimentalBuild bool,
        ServerVersion string, ClusterStore string ?, ClusterAdvertise string ?, Runtimes map[string]types.Runtime,
        DefaultRuntime string, Swarm swarm.Info, LiveRestoreEnabled bool, Isolation container.Isolation,
        InitBinary string, ContainerdCommit types.Commit, RuncCommit types.Commit, InitCommit types.Commit,
        SecurityOptions []string, ProductLicense string ?, DefaultAddressPools []types.NetworkAddressPool ?,
        Warnings []string
    """,
    "types.PluginsInfo": "Volume []string, Network []string, Authorization []string, Log []string",
    "registry.ServiceConfig": """
        AllowNondistributableArtifactsCIDRs []string, AllowNondistributableArtifactsHostnames []string,
        InsecureRegistryCIDRs []string, IndexConfigs map[string]interface{}, Mirrors []string
    """,
    "types.Runtime": "Path:path string, Args:runtimeArgs []string ?",
    "types.Commit": "ID string, Expected string",
    "types.NetworkAddressPool": "Base string, Size int",
    "swarm.Info": """
        NodeID string, NodeAddr string, LocalNodeState swarm.LocalNodeState, ControlAvailable bool, Error string,
        RemoteManagers []interface{}, Nodes int ?, Managers int ?, Cluster *struct{} ?, Warnings []string ?
    """,
}
