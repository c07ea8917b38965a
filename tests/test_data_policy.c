/* test_data_policy.c - RandAugment, 3-Augment and colour jitter: every operation beside
 * Pillow's and torchvision's bytes (tables by reference/make_policies.py), V-MoE's beside a
 * model of them; the draws; limits. */
#include "data/data_internal.h"
#include "data/operations_internal.h"

#include "tests/test_picture.h"
#include "tests/test_leaks.h"
#include "tests/test_run.h"

/* clang-format off */
enum { TORCHVISION_CASES = 4, VMOE_CASES = 3, PART_CASES = 5 };

typedef struct golden_case {
    double magnitude;
    bool negative;
} golden_case;

static const golden_case torchvision_cases[TORCHVISION_CASES] = {{9, false}, {9, true}, {30, false}, {17, true}};
static const golden_case vmoe_cases[VMOE_CASES] = {{5, false}, {10, true}, {20, false}};

enum { HUE, BLUR, GREY, SOLARIZE, COLOUR };
static const double part_cases[][PART_CASES] = {
    [HUE] = {-0.5, -0.1, 0.05, 0.4}, [BLUR] = {0.1, 0.7, 1.3, 2.0, 5.5}, [GREY] = {0},
    [SOLARIZE] = {128}, [COLOUR] = {0.0, 0.3, 1.7}};

/* Width, height, operation, digests by case. */
typedef struct golden_row {
    size_t width, height;
    int what;
    const char *digest[PART_CASES];
} golden_row;

static const golden_row torchvision[] = {
    {40, 30, 0, {"845249e3125f4113", "845249e3125f4113", "845249e3125f4113", "845249e3125f4113"}},
    {40, 30, 1, {"27ff13e59674875e", "8b196a0709ce66da", "948accbea12ad193", "22de94e89b5ea66d"}},
    {40, 30, 2, {"8184cc874dc2eeef", "084895ba75a739dc", "d40ec6635dada622", "127b0da10344dba0"}},
    {40, 30, 3, {"85ca4ef7503650ca", "97ac4d00bf8051b6", "36744162df913521", "6e096d835ed39bed"}},
    {40, 30, 4, {"82cfcf652888d778", "4db3a8485597a23d", "e4e2ef4453f50d08", "c858ca60ffaa7a70"}},
    {40, 30, 5, {"b3f9c89e6ccf7f2d", "20e6f3721d57e773", "1f91ed4c3e76248e", "ad0dcdfe088d38cd"}},
    {40, 30, 6, {"cdf5a111fd76326f", "74adf939b1e274c1", "f5f675d2fe66740c", "40a90f6cf71c924e"}},
    {40, 30, 7, {"06123655226bddd2", "f0a346e7ff1ce76c", "8bf8dc7450bb9b6b", "100bd497ab485520"}},
    {40, 30, 8, {"008733c43c49619d", "23515c33c22fe18d", "03c79e9377ff7465", "983c0c8725a2ba1f"}},
    {40, 30, 9, {"01af81c9bf2c6435", "cb559d187b2eeece", "d090cf08fa1e0476", "eb77883be45b5ea3"}},
    {40, 30, 10, {"199566c25bbdef6a", "199566c25bbdef6a", "19e3fadfd5de280f", "8c0a71dbf57a9ee1"}},
    {40, 30, 11, {"2f27ea735e4bb40d", "2f27ea735e4bb40d", "d46c31b5ef1d4844", "b1f66336fc6e78e1"}},
    {40, 30, 12, {"845249e3125f4113", "845249e3125f4113", "845249e3125f4113", "845249e3125f4113"}},
    {40, 30, 13, {"3dc4695efb035924", "3dc4695efb035924", "3dc4695efb035924", "3dc4695efb035924"}},
    {33, 57, 0, {"e846837e92283b0e", "e846837e92283b0e", "e846837e92283b0e", "e846837e92283b0e"}},
    {33, 57, 1, {"3e1534af0179b9db", "3fc1d89893aad787", "391175a4513f8a77", "2f0f6d484f666626"}},
    {33, 57, 2, {"f2fd674bb5f41e4b", "3d81ac684371b96e", "3c3f9fcd87065da9", "ba12c2d86a41dfda"}},
    {33, 57, 3, {"8293e72194fcd434", "eedbffae3d1555f7", "59dff30e7999b5a5", "8cd43dec725c0f1e"}},
    {33, 57, 4, {"57bfd5a48ae82383", "28af348484fe087f", "86a0532c2b3eb2ab", "456f4ddd107d129c"}},
    {33, 57, 5, {"dfb11e21b14cdcb7", "81cb916ce8d91154", "075a92733d6abc1f", "0dc4ca5d30c89d90"}},
    {33, 57, 6, {"17915a69ab1890fa", "9faf3d2393aa4730", "6d7c9801b5c77258", "b2c61004dfc638a4"}},
    {33, 57, 7, {"dbac33bfd8454660", "d8d3564409157404", "0d2189917e4990ef", "1180b0fa9abd58b9"}},
    {33, 57, 8, {"b1cb470425eeb96c", "85a48365de2a1c64", "6087a078a1eb61bc", "3be1e73bb89351b7"}},
    {33, 57, 9, {"ef82a8878e80a7f8", "00ab502791b99cee", "615fb2bac9a6ab8f", "c7adc2c796f32107"}},
    {33, 57, 10, {"8b787afc1d897d4c", "8b787afc1d897d4c", "95d556513edc1e0e", "932adef45ce60f83"}},
    {33, 57, 11, {"e01b0c0c434db53b", "e01b0c0c434db53b", "7868b3d5391dd190", "8ec8327b7f2a66c8"}},
    {33, 57, 12, {"e846837e92283b0e", "e846837e92283b0e", "e846837e92283b0e", "e846837e92283b0e"}},
    {33, 57, 13, {"078e00d035e5c854", "078e00d035e5c854", "078e00d035e5c854", "078e00d035e5c854"}},
    {3, 3, 0, {"efd80216d7ee66e9", "efd80216d7ee66e9", "efd80216d7ee66e9", "efd80216d7ee66e9"}},
    {3, 3, 1, {"efd80216d7ee66e9", "efd80216d7ee66e9", "ed4e2918100afd7d", "efd80216d7ee66e9"}},
    {3, 3, 2, {"efd80216d7ee66e9", "efd80216d7ee66e9", "184a4e7124c74a73", "efd80216d7ee66e9"}},
    {3, 3, 3, {"efd80216d7ee66e9", "efd80216d7ee66e9", "5fdf76765c0caaa4", "efd80216d7ee66e9"}},
    {3, 3, 4, {"efd80216d7ee66e9", "efd80216d7ee66e9", "ae7ae37099a24366", "efd80216d7ee66e9"}},
    {3, 3, 5, {"efd80216d7ee66e9", "efd80216d7ee66e9", "8066edeca834eb62", "efd80216d7ee66e9"}},
    {3, 3, 6, {"f70ae2a6d6391ff0", "0205c1a6c49c60db", "a92487a901d6b881", "1d44ad83c7b0532a"}},
    {3, 3, 7, {"9263752c7769ba5d", "dbb6d948f13564f4", "b509f2332d4759be", "a0836c9970b5035d"}},
    {3, 3, 8, {"234274564451a4ab", "7b735c88c032d4c9", "1e469e16bb170264", "f11cdc1ebf4460ad"}},
    {3, 3, 9, {"b22ba5f8e11aeafd", "45bffe6f7c0dea1f", "90f2e6acabdb4fbf", "d1795272749e9393"}},
    {3, 3, 10, {"c07ebfde0a5a661a", "c07ebfde0a5a661a", "4667dac19ad40344", "392bb65fa729eaf5"}},
    {3, 3, 11, {"efd80216d7ee66e9", "efd80216d7ee66e9", "d6d026b65aa7bd20", "baff747935a32383"}},
    {3, 3, 12, {"88537d7746a5dc62", "88537d7746a5dc62", "88537d7746a5dc62", "88537d7746a5dc62"}},
    {3, 3, 13, {"efd80216d7ee66e9", "efd80216d7ee66e9", "efd80216d7ee66e9", "efd80216d7ee66e9"}},
    {1, 1, 0, {"f65d20566a8b1f32", "f65d20566a8b1f32", "f65d20566a8b1f32", "f65d20566a8b1f32"}},
    {1, 1, 1, {"f65d20566a8b1f32", "f65d20566a8b1f32", "f65d20566a8b1f32", "f65d20566a8b1f32"}},
    {1, 1, 2, {"f65d20566a8b1f32", "f65d20566a8b1f32", "f65d20566a8b1f32", "f65d20566a8b1f32"}},
    {1, 1, 3, {"f65d20566a8b1f32", "f65d20566a8b1f32", "f65d20566a8b1f32", "f65d20566a8b1f32"}},
    {1, 1, 4, {"f65d20566a8b1f32", "f65d20566a8b1f32", "f65d20566a8b1f32", "f65d20566a8b1f32"}},
    {1, 1, 5, {"f65d20566a8b1f32", "f65d20566a8b1f32", "f65d20566a8b1f32", "f65d20566a8b1f32"}},
    {1, 1, 6, {"dcc8bea714c8c799", "54e5d66af9aaccf8", "946a2837a747ec35", "96637d78ac1ae7cb"}},
    {1, 1, 7, {"c07c5c1a96a8067d", "0178eff7be90a620", "e47e1e2c752be6d2", "fe9627df1acac2d1"}},
    {1, 1, 8, {"c07c5c1a96a8067d", "0178eff7be90a620", "e47e1e2c752be6d2", "fe9627df1acac2d1"}},
    {1, 1, 9, {"f65d20566a8b1f32", "f65d20566a8b1f32", "f65d20566a8b1f32", "f65d20566a8b1f32"}},
    {1, 1, 10, {"f65d20566a8b1f32", "f65d20566a8b1f32", "95b891f47b9a3944", "6307675b28c38711"}},
    {1, 1, 11, {"f65d20566a8b1f32", "f65d20566a8b1f32", "679b1946d3707284", "f65d20566a8b1f32"}},
    {1, 1, 12, {"f65d20566a8b1f32", "f65d20566a8b1f32", "f65d20566a8b1f32", "f65d20566a8b1f32"}},
    {1, 1, 13, {"f65d20566a8b1f32", "f65d20566a8b1f32", "f65d20566a8b1f32", "f65d20566a8b1f32"}},
    {224, 200, 0, {"10ecf31d86724eea", "10ecf31d86724eea", "10ecf31d86724eea", "10ecf31d86724eea"}},
    {224, 200, 1, {"ed0238715c9d9a26", "fc98b130d5b277ab", "4f00cc55163e5605", "0ca0dbe2c5f0fc93"}},
    {224, 200, 2, {"142930f83d3a43bf", "3f09bddafb3e90e7", "ebb09db53153faea", "f0b174a07f14f466"}},
    {224, 200, 3, {"0b0f5554a7a5f180", "452bd21f5b3076f0", "f50c6522a8556f3c", "c2bf743dad2b7aee"}},
    {224, 200, 4, {"fb21f7abc933b1b4", "aa18d96438762eaa", "994a93abe3266dc3", "15a5fa55ae2fb566"}},
    {224, 200, 5, {"c47ba3ecfa95d343", "f41da7c388807860", "277317211611d37c", "b1fc3edaeadb69b3"}},
    {224, 200, 6, {"c931968e38f1c2a1", "97a7eaf4c6f51e89", "fd61f57a1b7a9778", "231c7fd29ce75280"}},
    {224, 200, 7, {"adb435692bdbab03", "7cf31aa5a6f4a41b", "b7d9c632f17c9788", "4b6ecd694072cac4"}},
    {224, 200, 8, {"822ac6dab45b9dce", "8eb31c8fc284d6c2", "9d68b8bec0a548f7", "68ff60631a29d8ca"}},
    {224, 200, 9, {"f159ffc304faef91", "24cc595d946b2613", "4ce71c4596783076", "793b1de7e40ed155"}},
    {224, 200, 10, {"371549576f95679d", "371549576f95679d", "5c8c9b92ea4fa279", "b174af9ecb12c29a"}},
    {224, 200, 11, {"308f7f28ff271bd7", "308f7f28ff271bd7", "3d407e5371c0deb5", "0e5f52b0f6bed288"}},
    {224, 200, 12, {"10ecf31d86724eea", "10ecf31d86724eea", "10ecf31d86724eea", "10ecf31d86724eea"}},
    {224, 200, 13, {"f68c1c686238a1ee", "f68c1c686238a1ee", "f68c1c686238a1ee", "f68c1c686238a1ee"}},
};

static const golden_row vmoe[] = {
    {40, 30, 14, {"d46c31b5ef1d4844", "d46c31b5ef1d4844", "d46c31b5ef1d4844"}},
    {40, 30, 5, {"5202323b8a8cc41d", "e6df8e0590236e2e", "f8d6adb0e23de906"}},
    {40, 30, 10, {"5fd8fda01b2802b8", "19e3fadfd5de280f", "845249e3125f4113"}},
    {40, 30, 11, {"37becb423e61ab4b", "845249e3125f4113", "845249e3125f4113"}},
    {40, 30, 8, {"845249e3125f4113", "9a7f092330ec38b0", "252019cb0fa5243b"}},
    {40, 30, 6, {"845249e3125f4113", "f5f675d2fe66740c", "c0bfcb2e249f3f60"}},
    {40, 30, 9, {"845249e3125f4113", "1b7f37901c6deae3", "41ffff13bcc46b97"}},
    {40, 30, 1, {"bb2a00e02090d518", "bb5e0d29f9f96fe7", "22645931797c1e9c"}},
    {40, 30, 2, {"ee6de00d50116087", "61ef9ae625bf2f76", "b71b6ac0310b27ef"}},
    {40, 30, 3, {"f990833efe0d0675", "f990833efe0d0675", "f990833efe0d0675"}},
    {40, 30, 4, {"f990833efe0d0675", "f990833efe0d0675", "f990833efe0d0675"}},
    {40, 30, 15, {"cf0efde62bed6424", "f990833efe0d0675", "f990833efe0d0675"}},
    {40, 30, 16, {"3f513dadb8cd5ffd", "8d8cffeaa05cc6a6", "5d95a41730d790fe"}},
    {33, 57, 14, {"7868b3d5391dd190", "7868b3d5391dd190", "7868b3d5391dd190"}},
    {33, 57, 5, {"f9b56d3a5b6daef7", "c40aacbcd22de8f1", "6efcada15239cfdf"}},
    {33, 57, 10, {"064052595a6d81e5", "95d556513edc1e0e", "e846837e92283b0e"}},
    {33, 57, 11, {"310009afe014bc11", "e846837e92283b0e", "e846837e92283b0e"}},
    {33, 57, 8, {"e846837e92283b0e", "ba32180a2a2bcea9", "50eee6d410794fc5"}},
    {33, 57, 6, {"e846837e92283b0e", "6d7c9801b5c77258", "83691e258c4f643f"}},
    {33, 57, 9, {"e846837e92283b0e", "d07cba51dab39160", "908b5ca7db709b93"}},
    {33, 57, 1, {"7517f54b53a62d09", "ed16c5d9b598007c", "063b7e210a1f5f0d"}},
    {33, 57, 2, {"ec6431c7e4fd5f3b", "868c9c29e3065533", "bca9a3086bc4785f"}},
    {33, 57, 3, {"fcc6fda7baa36f7b", "fcc6fda7baa36f7b", "fcc6fda7baa36f7b"}},
    {33, 57, 4, {"23523a3103d9c907", "fcc6fda7baa36f7b", "fcc6fda7baa36f7b"}},
    {33, 57, 15, {"9511ca1d136b6ac7", "fcc6fda7baa36f7b", "fcc6fda7baa36f7b"}},
    {33, 57, 16, {"160005cd53659c13", "34eb9ed9e018e2a5", "536cd79a19886143"}},
    {3, 3, 14, {"d6d026b65aa7bd20", "d6d026b65aa7bd20", "d6d026b65aa7bd20"}},
    {3, 3, 5, {"efd80216d7ee66e9", "77a0d4ddf7226029", "80fbc020b65927e1"}},
    {3, 3, 10, {"b1d46ed875ff1f71", "4667dac19ad40344", "efd80216d7ee66e9"}},
    {3, 3, 11, {"efd80216d7ee66e9", "efd80216d7ee66e9", "efd80216d7ee66e9"}},
    {3, 3, 8, {"efd80216d7ee66e9", "a92487a901d6b881", "a772281023e255cb"}},
    {3, 3, 6, {"efd80216d7ee66e9", "a92487a901d6b881", "a772281023e255cb"}},
    {3, 3, 9, {"efd80216d7ee66e9", "90f2e6acabdb4fbf", "c44065ccdac9dd7d"}},
    {3, 3, 1, {"efd80216d7ee66e9", "6ec6038f8bb42b6f", "f762458ebe630467"}},
    {3, 3, 2, {"efd80216d7ee66e9", "189b244058a90eb8", "a873f53c66ea6a2d"}},
    {3, 3, 3, {"b5939d4cd02dc0ec", "b5939d4cd02dc0ec", "b5939d4cd02dc0ec"}},
    {3, 3, 4, {"b5939d4cd02dc0ec", "b5939d4cd02dc0ec", "b5939d4cd02dc0ec"}},
    {3, 3, 15, {"b5939d4cd02dc0ec", "b5939d4cd02dc0ec", "b5939d4cd02dc0ec"}},
    {3, 3, 16, {"a2ba6c4287f5c5e0", "79015b5a9c8a1195", "8e38767a4bb4b76d"}},
    {1, 1, 14, {"679b1946d3707284", "679b1946d3707284", "679b1946d3707284"}},
    {1, 1, 5, {"f65d20566a8b1f32", "f65d20566a8b1f32", "f65d20566a8b1f32"}},
    {1, 1, 10, {"803bb62ff494b819", "95b891f47b9a3944", "f65d20566a8b1f32"}},
    {1, 1, 11, {"f65d20566a8b1f32", "f65d20566a8b1f32", "f65d20566a8b1f32"}},
    {1, 1, 8, {"f65d20566a8b1f32", "946a2837a747ec35", "de93ece8ca03593a"}},
    {1, 1, 6, {"f65d20566a8b1f32", "946a2837a747ec35", "de93ece8ca03593a"}},
    {1, 1, 1, {"f65d20566a8b1f32", "f65d20566a8b1f32", "f65d20566a8b1f32"}},
    {1, 1, 2, {"f65d20566a8b1f32", "f65d20566a8b1f32", "f65d20566a8b1f32"}},
    {1, 1, 3, {"8ae40a3583aef669", "8ae40a3583aef669", "8ae40a3583aef669"}},
    {1, 1, 4, {"8ae40a3583aef669", "8ae40a3583aef669", "8ae40a3583aef669"}},
    {1, 1, 15, {"8ae40a3583aef669", "8ae40a3583aef669", "8ae40a3583aef669"}},
    {1, 1, 16, {"292bd3bd173416dc", "841aaa43dda3af6a", "8cf575793cce4f74"}},
    {224, 200, 14, {"3d407e5371c0deb5", "3d407e5371c0deb5", "3d407e5371c0deb5"}},
    {224, 200, 5, {"33cdb1b52bb19607", "ea6963288c0e8f28", "cdd915fee997e5cf"}},
    {224, 200, 10, {"6906056bcf5ff98e", "5c8c9b92ea4fa279", "10ecf31d86724eea"}},
    {224, 200, 11, {"9bdeceea3a78e079", "10ecf31d86724eea", "10ecf31d86724eea"}},
    {224, 200, 8, {"10ecf31d86724eea", "0eb2fdf8d67d8db5", "569fedf71934daef"}},
    {224, 200, 6, {"10ecf31d86724eea", "fd61f57a1b7a9778", "5c9367909f01bb31"}},
    {224, 200, 9, {"10ecf31d86724eea", "c686d0080939932b", "bb70443b974ca1cf"}},
    {224, 200, 1, {"2db9c5a8a37cf455", "afad74bbb2a48d0d", "98e7827026e9030f"}},
    {224, 200, 2, {"fe32916d5739f88b", "b7d2136fa0807741", "ababb4887f316f05"}},
    {224, 200, 3, {"249f3d75a0991d8a", "6a26fda3853b2dad", "7cb9482be84457d5"}},
    {224, 200, 4, {"bd42bb96400fed23", "f268c4e871a49d2e", "ccfde24969e923aa"}},
    {224, 200, 15, {"a1d25b9cac585ed8", "2220d55bea41cb55", "cc9f2e563c636899"}},
    {224, 200, 16, {"cda9484e3d71eca9", "4526b42752be7850", "9b19c0e8c5abd936"}},
};

static const golden_row parts[] = {
    {40, 30, HUE, {"7727488ad304a91e", "cabb9eb654f4a361", "a9d20355b2e60e19", "30030de5690a3778"}},
    {40, 30, BLUR, {"5ff860a4df065695", "b2f0c7561552f102", "f29a467e7ed31ca7", "c294f18724d8a6d6", "800423c527d93ddf"}},
    {40, 30, GREY, {"0d5189b7d6a2467e"}},
    {40, 30, SOLARIZE, {"37becb423e61ab4b"}},
    {40, 30, COLOUR, {"0d5189b7d6a2467e", "cec713fc550305a7", "15159a8873b862fb"}},
    {33, 57, HUE, {"46dcf50b61a45ace", "53b17050db07ad20", "78e79c551687d7c9", "d8c241651da27f6b"}},
    {33, 57, BLUR, {"01380950e2de35de", "5d3f9c9dfbaf299b", "bb0ca23ee55ee4e5", "81f601ab82cb9180", "8d14e39280b9205c"}},
    {33, 57, GREY, {"f344230cd1319402"}},
    {33, 57, SOLARIZE, {"310009afe014bc11"}},
    {33, 57, COLOUR, {"f344230cd1319402", "e0607a298ebe7460", "82b99910768541c6"}},
    {3, 3, HUE, {"713513d854493e36", "4d40d92406a73986", "8adedaccf10879a0", "00ad9382cbff324d"}},
    {3, 3, BLUR, {"efd80216d7ee66e9", "38899b884a463149", "da0c13f15ba474cc", "f7f5e3337b60928b", "ee6eb471b2eb8f89"}},
    {3, 3, GREY, {"ae654bfd0720edb7"}},
    {3, 3, SOLARIZE, {"efd80216d7ee66e9"}},
    {3, 3, COLOUR, {"ae654bfd0720edb7", "f4897aea8acf682f", "fbcb96bea56992c1"}},
    {1, 1, HUE, {"a65d04f0598674d7", "36f73018c85af749", "2629169b963ea9dd", "bf4a2a72852dfe6e"}},
    {1, 1, BLUR, {"f65d20566a8b1f32", "f65d20566a8b1f32", "f65d20566a8b1f32", "f65d20566a8b1f32", "f65d20566a8b1f32"}},
    {1, 1, GREY, {"04ba7b0a8b7f78bc"}},
    {1, 1, SOLARIZE, {"f65d20566a8b1f32"}},
    {1, 1, COLOUR, {"04ba7b0a8b7f78bc", "ca0cf08e7872d1de", "a1e5cb0cfd2f45b0"}},
    {224, 200, HUE, {"0b1ef5f755c0091a", "2aab1d5e00618d58", "2b46dc77d0dc87c2", "be49ac2bcf975c52"}},
    {224, 200, BLUR, {"64ae4d072cd00859", "f5005e2994c10a40", "73051a918ca547e7", "457eafd212101731", "a2d20a9125f15628"}},
    {224, 200, GREY, {"d8304b363c5c2857"}},
    {224, 200, SOLARIZE, {"9bdeceea3a78e079"}},
    {224, 200, COLOUR, {"d8304b363c5c2857", "d7daf8af9dbbb997", "f313fbc1ab58d727"}},
};
/* clang-format on */

#define COUNT(a) (sizeof(a) / sizeof *(a))

START_TEST(operations_are_torchvisions)
{
    const golden_row *g = &torchvision[_i / TORCHVISION_CASES];
    const golden_case *by = &torchvision_cases[_i % TORCHVISION_CASES];
    data_image image = picture_make(g->width, g->height, 3);
    data_scratch scratch = {0};

    ck_assert_int_eq(data_operation_torchvision(&image, g->what, by->magnitude,
                                                by->negative, &scratch, NULL),
                     BASE_OK);
    picture_check(&image, g->digest[_i % TORCHVISION_CASES]);
    data_scratch_destroy(&scratch);
    data_image_destroy(&image);
}
END_TEST

START_TEST(operations_are_vmoes)
{
    const golden_row *g = &vmoe[_i / VMOE_CASES];
    const golden_case *by = &vmoe_cases[_i % VMOE_CASES];
    data_image image = picture_make(g->width, g->height, 3);
    const size_t middle[2] = {g->width / 3, g->height / 2};
    data_scratch scratch = {0};

    ck_assert_int_eq(data_operation_vmoe(&image, g->what, by->magnitude, by->negative,
                                         middle, &scratch, NULL),
                     BASE_OK);
    picture_check(&image, g->digest[_i % VMOE_CASES]);
    data_scratch_destroy(&scratch);
    data_image_destroy(&image);
}
END_TEST

START_TEST(parts_are_pillows)
{
    const golden_row *g = &parts[_i];

    for (size_t i = 0; i < PART_CASES && g->digest[i]; i++) {
        data_image image = picture_make(g->width, g->height, 3);
        data_scratch scratch = {0};
        const double by = part_cases[g->what][i];

        switch (g->what) {
        case HUE: data_hue(&image, by); break;
        case BLUR: ck_assert_int_eq(data_blur(&image, by, &scratch, NULL), BASE_OK); break;
        case GREY: data_greyscale(&image); break;
        case SOLARIZE: data_solarize(&image, by); break;
        default: data_saturation(&image, by); break;
        }
        picture_check(&image, g->digest[i]);
        data_scratch_destroy(&scratch);
        data_image_destroy(&image);
    }
}
END_TEST

/* ---- policies -------------------------------------------------------------------------
 */

static data_augment policy_of(data_policy_kind kind)
{
    return (data_augment){.policy = kind, .policy_operations = 2, .policy_magnitude = 9};
}

/* How many of `samples` pictures a policy changes, and that the same draws give the same
 * bytes. */
static int changed_by(const data_augment *augment, size_t channels, int samples)
{
    data_image clean = picture_make(24, 20, channels), image = {0}, again = {0};
    data_scratch scratch = {0};
    const size_t bytes = 24 * 20 * channels;
    int changed = 0;

    ck_assert_int_eq(data_image_reserve(&image, 24, 20, channels, NULL), BASE_OK);
    ck_assert_int_eq(data_image_reserve(&again, 24, 20, channels, NULL), BASE_OK);
    for (int i = 0; i < samples; i++) {
        base_rng rng = base_rng_make(3, BASE_PURPOSE_AUGMENT, 0, (uint64_t)i, 0);
        base_rng same = rng;
        memcpy(image.pixels, clean.pixels, bytes);
        memcpy(again.pixels, clean.pixels, bytes);
        ck_assert_int_eq(data_policy(&image, augment, &rng, &scratch, NULL), BASE_OK);
        ck_assert_int_eq(data_policy(&again, augment, &same, &scratch, NULL), BASE_OK);
        ck_assert_mem_eq(image.pixels, again.pixels, bytes);
        changed += memcmp(image.pixels, clean.pixels, bytes) != 0;
    }
    data_scratch_destroy(&scratch);
    data_image_destroy(&clean);
    data_image_destroy(&image);
    data_image_destroy(&again);
    return changed;
}

/* Two of fourteen operations: both the identity once in 196, one that changes nothing here
 * now and then. */
START_TEST(policies_change_nearly_every_picture)
{
    for (int kind = DATA_POLICY_RANDAUGMENT; kind <= DATA_POLICY_THREE; kind++) {
        const data_augment augment = policy_of((data_policy_kind)kind);
        ck_assert_int_ge(changed_by(&augment, 3, 300), 255);
    }
}
END_TEST

static double between(base_rng *rng, double low, double high)
{
    return low + (high - low) * base_rng_uniform(rng);
}

/* The policy again, draw by draw, of the operations that are compared with Pillow's and
 * TensorFlow's above. */
static void by_hand(data_image *image, const data_augment *a, base_rng *rng,
                    data_scratch *scratch)
{
    /* V-MoE's sixteen by their numbers: autocontrast, equalize, invert, rotate, posterize,
     * solarize, color, contrast, brightness, sharpness, shears, shifts, cutout, the sum */
    static const int vmoe_order[16] = {12, 13, 14, 5, 10, 11, 7,  8,
                                       6,  9,  1,  2, 3,  4,  15, 16};
    const bool of_vmoe = a->policy == DATA_POLICY_VMOE;
    const bool drawn = of_vmoe || a->policy == DATA_POLICY_RANDAUGMENT;

    for (int i = 0; drawn && i < a->policy_operations; i++) {
        const size_t which = (size_t)base_rng_below(rng, of_vmoe ? 16 : 14);
        const bool negative = base_rng_uniform(rng) < 0.5;
        if (!of_vmoe) {
            ck_assert_int_eq(data_operation_torchvision(image, (int)which,
                                                        a->policy_magnitude, negative,
                                                        scratch, NULL),
                             BASE_OK);
            continue;
        }
        const size_t x = (size_t)base_rng_below(rng, image->width);
        const size_t y = (size_t)base_rng_below(rng, image->height);
        ck_assert_int_eq(data_operation_vmoe(image, vmoe_order[which], a->policy_magnitude,
                                             negative, (const size_t[2]){x, y}, scratch,
                                             NULL),
                         BASE_OK);
    }
    if (a->policy == DATA_POLICY_THREE) {
        const uint64_t which = base_rng_below(rng, 3);
        const double radius = between(rng, 0.1, 2.0);
        if (which == 0)
            data_greyscale(image);
        else if (which == 1)
            data_solarize(image, 128.0);
        else
            ck_assert_int_eq(data_blur(image, radius, scratch, NULL), BASE_OK);
    }
    const double j[4] = {a->jitter_brightness, a->jitter_contrast, a->jitter_saturation,
                         a->jitter_hue};
    uint32_t order[4];
    double by[4];
    if (!(j[0] + j[1] + j[2] + j[3] > 0))
        return;
    base_rng_permutation(rng, order, 4);
    for (int i = 0; i < 4; i++)
        by[i] = between(rng,
                        i == 3     ? -j[3]
                        : j[i] < 1 ? 1 - j[i]
                                   : 0,
                        i == 3 ? j[3] : 1 + j[i]);
    for (int i = 0; i < 4; i++) {
        if (!(j[order[i]] > 0))
            continue;
        switch (order[i]) {
        case 0: data_brightness(image, by[0]); break;
        case 1: data_contrast(image, by[1], -1); break;
        case 2: data_saturation(image, by[2]); break;
        default: data_hue(image, by[3]); break;
        }
    }
}

START_TEST(policies_are_their_operations_draw_by_draw)
{
    static const double jitters[][4] = {
        {0, 0, 0, 0},    {0.4, 0, 0, 0},       {0, 0.4, 0, 0},  {0, 0, 1.5, 0},
        {0, 0, 0, 0.25}, {1.5, 0.4, 0.9, 0.5}, {0.3, 0, 2, 0.1}};
    static const double magnitudes[] = {0, 9, 17.5, 30};
    data_scratch scratch = {0};

    for (uint64_t i = 0; i < 400; i++) {
        const double *j = jitters[i % 7];
        const data_augment augment = {.policy = (data_policy_kind)(i % 4),
                                      .policy_operations = (int)(i % 3) + 1,
                                      .policy_magnitude = magnitudes[i / 4 % 4],
                                      .jitter_brightness = j[0],
                                      .jitter_contrast = j[1],
                                      .jitter_saturation = j[2],
                                      .jitter_hue = j[3]};
        data_image image = picture_make(23, 18, i % 5 ? 3 : 1);
        data_image want = picture_make(23, 18, i % 5 ? 3 : 1);
        base_rng rng = base_rng_make(9, BASE_PURPOSE_AUGMENT, 0, i, 0), again = rng;
        ck_assert_int_eq(data_policy(&image, &augment, &rng, &scratch, NULL), BASE_OK);
        by_hand(&want, &augment, &again, &scratch);
        ck_assert_msg(memcmp(image.pixels, want.pixels, 23 * 18 * image.channels) == 0,
                      "policy %d, draw %d", (int)augment.policy, (int)i);
        ck_assert_uint_eq(base_rng_u64(&rng), base_rng_u64(&again));
        data_image_destroy(&image);
        data_image_destroy(&want);
    }
    data_scratch_destroy(&scratch);
}
END_TEST

START_TEST(nothing_asked_draws_nothing)
{
    const data_augment augment = policy_of(DATA_POLICY_NONE);
    data_image image = picture_make(8, 8, 3);
    data_scratch scratch = {0};
    base_rng rng = base_rng_make(3, BASE_PURPOSE_AUGMENT, 0, 0, 0), before = rng;

    ck_assert_int_eq(data_policy(&image, &augment, &rng, &scratch, NULL), BASE_OK);
    ck_assert_mem_eq(&rng, &before, sizeof rng);
    ck_assert_int_eq(changed_by(&augment, 3, 5), 0);
    data_image_destroy(&image);
}
END_TEST

/* Factors are even in 0.6..1.4: the mean of a flat picture of 100 is 100, truncated on
 * average by half a level; its variance (100 * 0.8)^2 / 12. */
START_TEST(jitter_spreads_brightness_evenly)
{
    const data_augment augment = {.jitter_brightness = 0.4};
    enum { SAMPLES = 4000 };
    data_scratch scratch = {0};
    data_image image = picture_make(1, 1, 3);
    double sum = 0, squares = 0, low = 255, high = 0;

    for (int i = 0; i < SAMPLES; i++) {
        base_rng rng = base_rng_make(5, BASE_PURPOSE_AUGMENT, 0, (uint64_t)i, 0);
        memset(image.pixels, 100, 3);
        ck_assert_int_eq(data_policy(&image, &augment, &rng, &scratch, NULL), BASE_OK);
        const double v = image.pixels[0];
        sum += v;
        squares += v * v;
        low = v < low ? v : low;
        high = v > high ? v : high;
    }
    const double mean = sum / SAMPLES, variance = squares / SAMPLES - mean * mean;
    ck_assert_double_eq_tol(mean, 99.5, 1.5);
    ck_assert_double_eq_tol(variance, 80.0 * 80.0 / 12, 25);
    ck_assert_double_le(low, 61);
    ck_assert_double_ge(high, 138);
    data_image_destroy(&image);
}
END_TEST

/* ---- limits ---------------------------------------------------------------------------
 */

START_TEST(grey_and_tiny_pictures_pass_every_policy)
{
    data_augment augment = {.jitter_brightness = 0.4,
                            .jitter_contrast = 0.4,
                            .jitter_saturation = 0.4,
                            .jitter_hue = 0.5,
                            .policy_operations = 4,
                            .policy_magnitude = 30};
    data_scratch scratch = {0};

    for (int kind = DATA_POLICY_NONE; kind <= DATA_POLICY_THREE; kind++) {
        augment.policy = (data_policy_kind)kind;
        for (uint64_t i = 0; i < 200; i++) {
            const size_t channels = i % 2 ? 1 : 3;
            data_image image = picture_make(1 + i % 5, 1 + i / 5 % 4, channels);
            base_rng rng = base_rng_make(1, BASE_PURPOSE_AUGMENT, 0, i, 0);
            ck_assert_int_eq(data_policy(&image, &augment, &rng, &scratch, NULL), BASE_OK);
            data_image_destroy(&image);
        }
    }
    data_scratch_destroy(&scratch);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("data_policy");
    TCase *core = test_case("Core");
    TCase *limits = test_case("Limits");

    tcase_add_loop_test(core, operations_are_torchvisions, 0,
                        (int)COUNT(torchvision) * TORCHVISION_CASES);
    tcase_add_loop_test(core, operations_are_vmoes, 0, (int)COUNT(vmoe) * VMOE_CASES);
    tcase_add_loop_test(core, parts_are_pillows, 0, (int)COUNT(parts));
    tcase_add_test(core, policies_change_nearly_every_picture);
    tcase_add_test(core, policies_are_their_operations_draw_by_draw);
    tcase_add_test(core, nothing_asked_draws_nothing);
    tcase_add_test(core, jitter_spreads_brightness_evenly);
    tcase_add_test(limits, grey_and_tiny_pictures_pass_every_policy);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
