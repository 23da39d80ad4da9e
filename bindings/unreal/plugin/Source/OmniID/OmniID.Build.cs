using UnrealBuildTool;

public class OmniID : ModuleRules
{
	public OmniID(ReadOnlyTargetRules Target) : base(Target)
	{
		PCHUsage = PCHUsageMode.UseExplicitOrSharedPCHs;
		// OmniIDLibrary is public: renderers call omniid.hpp with what UOmniIDConditioning holds.
		PublicDependencyModuleNames.AddRange(new string[] { "Core", "CoreUObject", "Engine", "OmniIDLibrary" });
		PrivateDependencyModuleNames.AddRange(new string[] { "Projects", "RenderCore", "RHI" });
	}
}
