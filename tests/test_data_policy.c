/* test_data_policy.c - RandAugment, 3-Augment and colour jitter: every operation beside
 * Pillow's and torchvision's bytes (tables by reference/make_policies.py), V-MoE's beside a
 * model of them; the draws; limits. */
#include "data/data_internal.h"
#include "data/operations_internal.h"

#include "tests/test_picture.h"
#include "tests/test_run.h"

/* clang-format off */
typedef struct golden_operation {
    size_t width, height;
    int op;
    double magnitude;
    bool negative;
    const char *digest;
} golden_operation;

static const golden_operation torchvision[] = {
    {40, 30, 0, 9, false, "845249e3125f4113"},
    {40, 30, 0, 9, true, "845249e3125f4113"},
    {40, 30, 0, 30, false, "845249e3125f4113"},
    {40, 30, 0, 17, true, "845249e3125f4113"},
    {40, 30, 1, 9, false, "27ff13e59674875e"},
    {40, 30, 1, 9, true, "8b196a0709ce66da"},
    {40, 30, 1, 30, false, "948accbea12ad193"},
    {40, 30, 1, 17, true, "22de94e89b5ea66d"},
    {40, 30, 2, 9, false, "8184cc874dc2eeef"},
    {40, 30, 2, 9, true, "084895ba75a739dc"},
    {40, 30, 2, 30, false, "d40ec6635dada622"},
    {40, 30, 2, 17, true, "127b0da10344dba0"},
    {40, 30, 3, 9, false, "85ca4ef7503650ca"},
    {40, 30, 3, 9, true, "97ac4d00bf8051b6"},
    {40, 30, 3, 30, false, "36744162df913521"},
    {40, 30, 3, 17, true, "6e096d835ed39bed"},
    {40, 30, 4, 9, false, "82cfcf652888d778"},
    {40, 30, 4, 9, true, "4db3a8485597a23d"},
    {40, 30, 4, 30, false, "e4e2ef4453f50d08"},
    {40, 30, 4, 17, true, "c858ca60ffaa7a70"},
    {40, 30, 5, 9, false, "b3f9c89e6ccf7f2d"},
    {40, 30, 5, 9, true, "20e6f3721d57e773"},
    {40, 30, 5, 30, false, "1f91ed4c3e76248e"},
    {40, 30, 5, 17, true, "ad0dcdfe088d38cd"},
    {40, 30, 6, 9, false, "cdf5a111fd76326f"},
    {40, 30, 6, 9, true, "74adf939b1e274c1"},
    {40, 30, 6, 30, false, "f5f675d2fe66740c"},
    {40, 30, 6, 17, true, "40a90f6cf71c924e"},
    {40, 30, 7, 9, false, "06123655226bddd2"},
    {40, 30, 7, 9, true, "f0a346e7ff1ce76c"},
    {40, 30, 7, 30, false, "8bf8dc7450bb9b6b"},
    {40, 30, 7, 17, true, "100bd497ab485520"},
    {40, 30, 8, 9, false, "008733c43c49619d"},
    {40, 30, 8, 9, true, "23515c33c22fe18d"},
    {40, 30, 8, 30, false, "03c79e9377ff7465"},
    {40, 30, 8, 17, true, "983c0c8725a2ba1f"},
    {40, 30, 9, 9, false, "01af81c9bf2c6435"},
    {40, 30, 9, 9, true, "cb559d187b2eeece"},
    {40, 30, 9, 30, false, "d090cf08fa1e0476"},
    {40, 30, 9, 17, true, "eb77883be45b5ea3"},
    {40, 30, 10, 9, false, "199566c25bbdef6a"},
    {40, 30, 10, 9, true, "199566c25bbdef6a"},
    {40, 30, 10, 30, false, "19e3fadfd5de280f"},
    {40, 30, 10, 17, true, "8c0a71dbf57a9ee1"},
    {40, 30, 11, 9, false, "2f27ea735e4bb40d"},
    {40, 30, 11, 9, true, "2f27ea735e4bb40d"},
    {40, 30, 11, 30, false, "d46c31b5ef1d4844"},
    {40, 30, 11, 17, true, "b1f66336fc6e78e1"},
    {40, 30, 12, 9, false, "845249e3125f4113"},
    {40, 30, 12, 9, true, "845249e3125f4113"},
    {40, 30, 12, 30, false, "845249e3125f4113"},
    {40, 30, 12, 17, true, "845249e3125f4113"},
    {40, 30, 13, 9, false, "3dc4695efb035924"},
    {40, 30, 13, 9, true, "3dc4695efb035924"},
    {40, 30, 13, 30, false, "3dc4695efb035924"},
    {40, 30, 13, 17, true, "3dc4695efb035924"},
    {33, 57, 0, 9, false, "e846837e92283b0e"},
    {33, 57, 0, 9, true, "e846837e92283b0e"},
    {33, 57, 0, 30, false, "e846837e92283b0e"},
    {33, 57, 0, 17, true, "e846837e92283b0e"},
    {33, 57, 1, 9, false, "3e1534af0179b9db"},
    {33, 57, 1, 9, true, "3fc1d89893aad787"},
    {33, 57, 1, 30, false, "391175a4513f8a77"},
    {33, 57, 1, 17, true, "2f0f6d484f666626"},
    {33, 57, 2, 9, false, "f2fd674bb5f41e4b"},
    {33, 57, 2, 9, true, "3d81ac684371b96e"},
    {33, 57, 2, 30, false, "3c3f9fcd87065da9"},
    {33, 57, 2, 17, true, "ba12c2d86a41dfda"},
    {33, 57, 3, 9, false, "8293e72194fcd434"},
    {33, 57, 3, 9, true, "eedbffae3d1555f7"},
    {33, 57, 3, 30, false, "59dff30e7999b5a5"},
    {33, 57, 3, 17, true, "8cd43dec725c0f1e"},
    {33, 57, 4, 9, false, "57bfd5a48ae82383"},
    {33, 57, 4, 9, true, "28af348484fe087f"},
    {33, 57, 4, 30, false, "86a0532c2b3eb2ab"},
    {33, 57, 4, 17, true, "456f4ddd107d129c"},
    {33, 57, 5, 9, false, "dfb11e21b14cdcb7"},
    {33, 57, 5, 9, true, "81cb916ce8d91154"},
    {33, 57, 5, 30, false, "075a92733d6abc1f"},
    {33, 57, 5, 17, true, "0dc4ca5d30c89d90"},
    {33, 57, 6, 9, false, "17915a69ab1890fa"},
    {33, 57, 6, 9, true, "9faf3d2393aa4730"},
    {33, 57, 6, 30, false, "6d7c9801b5c77258"},
    {33, 57, 6, 17, true, "b2c61004dfc638a4"},
    {33, 57, 7, 9, false, "dbac33bfd8454660"},
    {33, 57, 7, 9, true, "d8d3564409157404"},
    {33, 57, 7, 30, false, "0d2189917e4990ef"},
    {33, 57, 7, 17, true, "1180b0fa9abd58b9"},
    {33, 57, 8, 9, false, "b1cb470425eeb96c"},
    {33, 57, 8, 9, true, "85a48365de2a1c64"},
    {33, 57, 8, 30, false, "6087a078a1eb61bc"},
    {33, 57, 8, 17, true, "3be1e73bb89351b7"},
    {33, 57, 9, 9, false, "ef82a8878e80a7f8"},
    {33, 57, 9, 9, true, "00ab502791b99cee"},
    {33, 57, 9, 30, false, "615fb2bac9a6ab8f"},
    {33, 57, 9, 17, true, "c7adc2c796f32107"},
    {33, 57, 10, 9, false, "8b787afc1d897d4c"},
    {33, 57, 10, 9, true, "8b787afc1d897d4c"},
    {33, 57, 10, 30, false, "95d556513edc1e0e"},
    {33, 57, 10, 17, true, "932adef45ce60f83"},
    {33, 57, 11, 9, false, "e01b0c0c434db53b"},
    {33, 57, 11, 9, true, "e01b0c0c434db53b"},
    {33, 57, 11, 30, false, "7868b3d5391dd190"},
    {33, 57, 11, 17, true, "8ec8327b7f2a66c8"},
    {33, 57, 12, 9, false, "e846837e92283b0e"},
    {33, 57, 12, 9, true, "e846837e92283b0e"},
    {33, 57, 12, 30, false, "e846837e92283b0e"},
    {33, 57, 12, 17, true, "e846837e92283b0e"},
    {33, 57, 13, 9, false, "078e00d035e5c854"},
    {33, 57, 13, 9, true, "078e00d035e5c854"},
    {33, 57, 13, 30, false, "078e00d035e5c854"},
    {33, 57, 13, 17, true, "078e00d035e5c854"},
    {3, 3, 0, 9, false, "efd80216d7ee66e9"},
    {3, 3, 0, 9, true, "efd80216d7ee66e9"},
    {3, 3, 0, 30, false, "efd80216d7ee66e9"},
    {3, 3, 0, 17, true, "efd80216d7ee66e9"},
    {3, 3, 1, 9, false, "efd80216d7ee66e9"},
    {3, 3, 1, 9, true, "efd80216d7ee66e9"},
    {3, 3, 1, 30, false, "ed4e2918100afd7d"},
    {3, 3, 1, 17, true, "efd80216d7ee66e9"},
    {3, 3, 2, 9, false, "efd80216d7ee66e9"},
    {3, 3, 2, 9, true, "efd80216d7ee66e9"},
    {3, 3, 2, 30, false, "184a4e7124c74a73"},
    {3, 3, 2, 17, true, "efd80216d7ee66e9"},
    {3, 3, 3, 9, false, "efd80216d7ee66e9"},
    {3, 3, 3, 9, true, "efd80216d7ee66e9"},
    {3, 3, 3, 30, false, "5fdf76765c0caaa4"},
    {3, 3, 3, 17, true, "efd80216d7ee66e9"},
    {3, 3, 4, 9, false, "efd80216d7ee66e9"},
    {3, 3, 4, 9, true, "efd80216d7ee66e9"},
    {3, 3, 4, 30, false, "ae7ae37099a24366"},
    {3, 3, 4, 17, true, "efd80216d7ee66e9"},
    {3, 3, 5, 9, false, "efd80216d7ee66e9"},
    {3, 3, 5, 9, true, "efd80216d7ee66e9"},
    {3, 3, 5, 30, false, "8066edeca834eb62"},
    {3, 3, 5, 17, true, "efd80216d7ee66e9"},
    {3, 3, 6, 9, false, "f70ae2a6d6391ff0"},
    {3, 3, 6, 9, true, "0205c1a6c49c60db"},
    {3, 3, 6, 30, false, "a92487a901d6b881"},
    {3, 3, 6, 17, true, "1d44ad83c7b0532a"},
    {3, 3, 7, 9, false, "9263752c7769ba5d"},
    {3, 3, 7, 9, true, "dbb6d948f13564f4"},
    {3, 3, 7, 30, false, "b509f2332d4759be"},
    {3, 3, 7, 17, true, "a0836c9970b5035d"},
    {3, 3, 8, 9, false, "234274564451a4ab"},
    {3, 3, 8, 9, true, "7b735c88c032d4c9"},
    {3, 3, 8, 30, false, "1e469e16bb170264"},
    {3, 3, 8, 17, true, "f11cdc1ebf4460ad"},
    {3, 3, 9, 9, false, "b22ba5f8e11aeafd"},
    {3, 3, 9, 9, true, "45bffe6f7c0dea1f"},
    {3, 3, 9, 30, false, "90f2e6acabdb4fbf"},
    {3, 3, 9, 17, true, "d1795272749e9393"},
    {3, 3, 10, 9, false, "c07ebfde0a5a661a"},
    {3, 3, 10, 9, true, "c07ebfde0a5a661a"},
    {3, 3, 10, 30, false, "4667dac19ad40344"},
    {3, 3, 10, 17, true, "392bb65fa729eaf5"},
    {3, 3, 11, 9, false, "efd80216d7ee66e9"},
    {3, 3, 11, 9, true, "efd80216d7ee66e9"},
    {3, 3, 11, 30, false, "d6d026b65aa7bd20"},
    {3, 3, 11, 17, true, "baff747935a32383"},
    {3, 3, 12, 9, false, "88537d7746a5dc62"},
    {3, 3, 12, 9, true, "88537d7746a5dc62"},
    {3, 3, 12, 30, false, "88537d7746a5dc62"},
    {3, 3, 12, 17, true, "88537d7746a5dc62"},
    {3, 3, 13, 9, false, "efd80216d7ee66e9"},
    {3, 3, 13, 9, true, "efd80216d7ee66e9"},
    {3, 3, 13, 30, false, "efd80216d7ee66e9"},
    {3, 3, 13, 17, true, "efd80216d7ee66e9"},
    {1, 1, 0, 9, false, "f65d20566a8b1f32"},
    {1, 1, 0, 9, true, "f65d20566a8b1f32"},
    {1, 1, 0, 30, false, "f65d20566a8b1f32"},
    {1, 1, 0, 17, true, "f65d20566a8b1f32"},
    {1, 1, 1, 9, false, "f65d20566a8b1f32"},
    {1, 1, 1, 9, true, "f65d20566a8b1f32"},
    {1, 1, 1, 30, false, "f65d20566a8b1f32"},
    {1, 1, 1, 17, true, "f65d20566a8b1f32"},
    {1, 1, 2, 9, false, "f65d20566a8b1f32"},
    {1, 1, 2, 9, true, "f65d20566a8b1f32"},
    {1, 1, 2, 30, false, "f65d20566a8b1f32"},
    {1, 1, 2, 17, true, "f65d20566a8b1f32"},
    {1, 1, 3, 9, false, "f65d20566a8b1f32"},
    {1, 1, 3, 9, true, "f65d20566a8b1f32"},
    {1, 1, 3, 30, false, "f65d20566a8b1f32"},
    {1, 1, 3, 17, true, "f65d20566a8b1f32"},
    {1, 1, 4, 9, false, "f65d20566a8b1f32"},
    {1, 1, 4, 9, true, "f65d20566a8b1f32"},
    {1, 1, 4, 30, false, "f65d20566a8b1f32"},
    {1, 1, 4, 17, true, "f65d20566a8b1f32"},
    {1, 1, 5, 9, false, "f65d20566a8b1f32"},
    {1, 1, 5, 9, true, "f65d20566a8b1f32"},
    {1, 1, 5, 30, false, "f65d20566a8b1f32"},
    {1, 1, 5, 17, true, "f65d20566a8b1f32"},
    {1, 1, 6, 9, false, "dcc8bea714c8c799"},
    {1, 1, 6, 9, true, "54e5d66af9aaccf8"},
    {1, 1, 6, 30, false, "946a2837a747ec35"},
    {1, 1, 6, 17, true, "96637d78ac1ae7cb"},
    {1, 1, 7, 9, false, "c07c5c1a96a8067d"},
    {1, 1, 7, 9, true, "0178eff7be90a620"},
    {1, 1, 7, 30, false, "e47e1e2c752be6d2"},
    {1, 1, 7, 17, true, "fe9627df1acac2d1"},
    {1, 1, 8, 9, false, "c07c5c1a96a8067d"},
    {1, 1, 8, 9, true, "0178eff7be90a620"},
    {1, 1, 8, 30, false, "e47e1e2c752be6d2"},
    {1, 1, 8, 17, true, "fe9627df1acac2d1"},
    {1, 1, 9, 9, false, "f65d20566a8b1f32"},
    {1, 1, 9, 9, true, "f65d20566a8b1f32"},
    {1, 1, 9, 30, false, "f65d20566a8b1f32"},
    {1, 1, 9, 17, true, "f65d20566a8b1f32"},
    {1, 1, 10, 9, false, "f65d20566a8b1f32"},
    {1, 1, 10, 9, true, "f65d20566a8b1f32"},
    {1, 1, 10, 30, false, "95b891f47b9a3944"},
    {1, 1, 10, 17, true, "6307675b28c38711"},
    {1, 1, 11, 9, false, "f65d20566a8b1f32"},
    {1, 1, 11, 9, true, "f65d20566a8b1f32"},
    {1, 1, 11, 30, false, "679b1946d3707284"},
    {1, 1, 11, 17, true, "f65d20566a8b1f32"},
    {1, 1, 12, 9, false, "f65d20566a8b1f32"},
    {1, 1, 12, 9, true, "f65d20566a8b1f32"},
    {1, 1, 12, 30, false, "f65d20566a8b1f32"},
    {1, 1, 12, 17, true, "f65d20566a8b1f32"},
    {1, 1, 13, 9, false, "f65d20566a8b1f32"},
    {1, 1, 13, 9, true, "f65d20566a8b1f32"},
    {1, 1, 13, 30, false, "f65d20566a8b1f32"},
    {1, 1, 13, 17, true, "f65d20566a8b1f32"},
    {224, 200, 0, 9, false, "10ecf31d86724eea"},
    {224, 200, 0, 9, true, "10ecf31d86724eea"},
    {224, 200, 0, 30, false, "10ecf31d86724eea"},
    {224, 200, 0, 17, true, "10ecf31d86724eea"},
    {224, 200, 1, 9, false, "ed0238715c9d9a26"},
    {224, 200, 1, 9, true, "fc98b130d5b277ab"},
    {224, 200, 1, 30, false, "4f00cc55163e5605"},
    {224, 200, 1, 17, true, "0ca0dbe2c5f0fc93"},
    {224, 200, 2, 9, false, "142930f83d3a43bf"},
    {224, 200, 2, 9, true, "3f09bddafb3e90e7"},
    {224, 200, 2, 30, false, "ebb09db53153faea"},
    {224, 200, 2, 17, true, "f0b174a07f14f466"},
    {224, 200, 3, 9, false, "0b0f5554a7a5f180"},
    {224, 200, 3, 9, true, "452bd21f5b3076f0"},
    {224, 200, 3, 30, false, "f50c6522a8556f3c"},
    {224, 200, 3, 17, true, "c2bf743dad2b7aee"},
    {224, 200, 4, 9, false, "fb21f7abc933b1b4"},
    {224, 200, 4, 9, true, "aa18d96438762eaa"},
    {224, 200, 4, 30, false, "994a93abe3266dc3"},
    {224, 200, 4, 17, true, "15a5fa55ae2fb566"},
    {224, 200, 5, 9, false, "c47ba3ecfa95d343"},
    {224, 200, 5, 9, true, "f41da7c388807860"},
    {224, 200, 5, 30, false, "277317211611d37c"},
    {224, 200, 5, 17, true, "b1fc3edaeadb69b3"},
    {224, 200, 6, 9, false, "c931968e38f1c2a1"},
    {224, 200, 6, 9, true, "97a7eaf4c6f51e89"},
    {224, 200, 6, 30, false, "fd61f57a1b7a9778"},
    {224, 200, 6, 17, true, "231c7fd29ce75280"},
    {224, 200, 7, 9, false, "adb435692bdbab03"},
    {224, 200, 7, 9, true, "7cf31aa5a6f4a41b"},
    {224, 200, 7, 30, false, "b7d9c632f17c9788"},
    {224, 200, 7, 17, true, "4b6ecd694072cac4"},
    {224, 200, 8, 9, false, "822ac6dab45b9dce"},
    {224, 200, 8, 9, true, "8eb31c8fc284d6c2"},
    {224, 200, 8, 30, false, "9d68b8bec0a548f7"},
    {224, 200, 8, 17, true, "68ff60631a29d8ca"},
    {224, 200, 9, 9, false, "f159ffc304faef91"},
    {224, 200, 9, 9, true, "24cc595d946b2613"},
    {224, 200, 9, 30, false, "4ce71c4596783076"},
    {224, 200, 9, 17, true, "793b1de7e40ed155"},
    {224, 200, 10, 9, false, "371549576f95679d"},
    {224, 200, 10, 9, true, "371549576f95679d"},
    {224, 200, 10, 30, false, "5c8c9b92ea4fa279"},
    {224, 200, 10, 17, true, "b174af9ecb12c29a"},
    {224, 200, 11, 9, false, "308f7f28ff271bd7"},
    {224, 200, 11, 9, true, "308f7f28ff271bd7"},
    {224, 200, 11, 30, false, "3d407e5371c0deb5"},
    {224, 200, 11, 17, true, "0e5f52b0f6bed288"},
    {224, 200, 12, 9, false, "10ecf31d86724eea"},
    {224, 200, 12, 9, true, "10ecf31d86724eea"},
    {224, 200, 12, 30, false, "10ecf31d86724eea"},
    {224, 200, 12, 17, true, "10ecf31d86724eea"},
    {224, 200, 13, 9, false, "f68c1c686238a1ee"},
    {224, 200, 13, 9, true, "f68c1c686238a1ee"},
    {224, 200, 13, 30, false, "f68c1c686238a1ee"},
    {224, 200, 13, 17, true, "f68c1c686238a1ee"},
};

static const golden_operation vmoe[] = {
    {40, 30, 14, 5, false, "d46c31b5ef1d4844"},
    {40, 30, 14, 10, true, "d46c31b5ef1d4844"},
    {40, 30, 14, 20, false, "d46c31b5ef1d4844"},
    {40, 30, 5, 5, false, "5202323b8a8cc41d"},
    {40, 30, 5, 10, true, "e6df8e0590236e2e"},
    {40, 30, 5, 20, false, "f8d6adb0e23de906"},
    {40, 30, 10, 5, false, "5fd8fda01b2802b8"},
    {40, 30, 10, 10, true, "19e3fadfd5de280f"},
    {40, 30, 10, 20, false, "845249e3125f4113"},
    {40, 30, 11, 5, false, "37becb423e61ab4b"},
    {40, 30, 11, 10, true, "845249e3125f4113"},
    {40, 30, 11, 20, false, "845249e3125f4113"},
    {40, 30, 8, 5, false, "845249e3125f4113"},
    {40, 30, 8, 10, true, "9a7f092330ec38b0"},
    {40, 30, 8, 20, false, "252019cb0fa5243b"},
    {40, 30, 6, 5, false, "845249e3125f4113"},
    {40, 30, 6, 10, true, "f5f675d2fe66740c"},
    {40, 30, 6, 20, false, "c0bfcb2e249f3f60"},
    {40, 30, 9, 5, false, "845249e3125f4113"},
    {40, 30, 9, 10, true, "1b7f37901c6deae3"},
    {40, 30, 9, 20, false, "41ffff13bcc46b97"},
    {40, 30, 1, 5, false, "bb2a00e02090d518"},
    {40, 30, 1, 10, true, "bb5e0d29f9f96fe7"},
    {40, 30, 1, 20, false, "22645931797c1e9c"},
    {40, 30, 2, 5, false, "ee6de00d50116087"},
    {40, 30, 2, 10, true, "61ef9ae625bf2f76"},
    {40, 30, 2, 20, false, "b71b6ac0310b27ef"},
    {40, 30, 3, 5, false, "f990833efe0d0675"},
    {40, 30, 3, 10, true, "f990833efe0d0675"},
    {40, 30, 3, 20, false, "f990833efe0d0675"},
    {40, 30, 4, 5, false, "f990833efe0d0675"},
    {40, 30, 4, 10, true, "f990833efe0d0675"},
    {40, 30, 4, 20, false, "f990833efe0d0675"},
    {40, 30, 15, 5, false, "cf0efde62bed6424"},
    {40, 30, 15, 10, true, "f990833efe0d0675"},
    {40, 30, 15, 20, false, "f990833efe0d0675"},
    {40, 30, 16, 5, false, "3f513dadb8cd5ffd"},
    {40, 30, 16, 10, true, "8d8cffeaa05cc6a6"},
    {40, 30, 16, 20, false, "5d95a41730d790fe"},
    {33, 57, 14, 5, false, "7868b3d5391dd190"},
    {33, 57, 14, 10, true, "7868b3d5391dd190"},
    {33, 57, 14, 20, false, "7868b3d5391dd190"},
    {33, 57, 5, 5, false, "f9b56d3a5b6daef7"},
    {33, 57, 5, 10, true, "c40aacbcd22de8f1"},
    {33, 57, 5, 20, false, "6efcada15239cfdf"},
    {33, 57, 10, 5, false, "064052595a6d81e5"},
    {33, 57, 10, 10, true, "95d556513edc1e0e"},
    {33, 57, 10, 20, false, "e846837e92283b0e"},
    {33, 57, 11, 5, false, "310009afe014bc11"},
    {33, 57, 11, 10, true, "e846837e92283b0e"},
    {33, 57, 11, 20, false, "e846837e92283b0e"},
    {33, 57, 8, 5, false, "e846837e92283b0e"},
    {33, 57, 8, 10, true, "ba32180a2a2bcea9"},
    {33, 57, 8, 20, false, "50eee6d410794fc5"},
    {33, 57, 6, 5, false, "e846837e92283b0e"},
    {33, 57, 6, 10, true, "6d7c9801b5c77258"},
    {33, 57, 6, 20, false, "83691e258c4f643f"},
    {33, 57, 9, 5, false, "e846837e92283b0e"},
    {33, 57, 9, 10, true, "d07cba51dab39160"},
    {33, 57, 9, 20, false, "908b5ca7db709b93"},
    {33, 57, 1, 5, false, "7517f54b53a62d09"},
    {33, 57, 1, 10, true, "ed16c5d9b598007c"},
    {33, 57, 1, 20, false, "063b7e210a1f5f0d"},
    {33, 57, 2, 5, false, "ec6431c7e4fd5f3b"},
    {33, 57, 2, 10, true, "868c9c29e3065533"},
    {33, 57, 2, 20, false, "bca9a3086bc4785f"},
    {33, 57, 3, 5, false, "fcc6fda7baa36f7b"},
    {33, 57, 3, 10, true, "fcc6fda7baa36f7b"},
    {33, 57, 3, 20, false, "fcc6fda7baa36f7b"},
    {33, 57, 4, 5, false, "23523a3103d9c907"},
    {33, 57, 4, 10, true, "fcc6fda7baa36f7b"},
    {33, 57, 4, 20, false, "fcc6fda7baa36f7b"},
    {33, 57, 15, 5, false, "9511ca1d136b6ac7"},
    {33, 57, 15, 10, true, "fcc6fda7baa36f7b"},
    {33, 57, 15, 20, false, "fcc6fda7baa36f7b"},
    {33, 57, 16, 5, false, "160005cd53659c13"},
    {33, 57, 16, 10, true, "34eb9ed9e018e2a5"},
    {33, 57, 16, 20, false, "536cd79a19886143"},
    {3, 3, 14, 5, false, "d6d026b65aa7bd20"},
    {3, 3, 14, 10, true, "d6d026b65aa7bd20"},
    {3, 3, 14, 20, false, "d6d026b65aa7bd20"},
    {3, 3, 5, 5, false, "efd80216d7ee66e9"},
    {3, 3, 5, 10, true, "77a0d4ddf7226029"},
    {3, 3, 5, 20, false, "80fbc020b65927e1"},
    {3, 3, 10, 5, false, "b1d46ed875ff1f71"},
    {3, 3, 10, 10, true, "4667dac19ad40344"},
    {3, 3, 10, 20, false, "efd80216d7ee66e9"},
    {3, 3, 11, 5, false, "efd80216d7ee66e9"},
    {3, 3, 11, 10, true, "efd80216d7ee66e9"},
    {3, 3, 11, 20, false, "efd80216d7ee66e9"},
    {3, 3, 8, 5, false, "efd80216d7ee66e9"},
    {3, 3, 8, 10, true, "a92487a901d6b881"},
    {3, 3, 8, 20, false, "a772281023e255cb"},
    {3, 3, 6, 5, false, "efd80216d7ee66e9"},
    {3, 3, 6, 10, true, "a92487a901d6b881"},
    {3, 3, 6, 20, false, "a772281023e255cb"},
    {3, 3, 9, 5, false, "efd80216d7ee66e9"},
    {3, 3, 9, 10, true, "90f2e6acabdb4fbf"},
    {3, 3, 9, 20, false, "c44065ccdac9dd7d"},
    {3, 3, 1, 5, false, "efd80216d7ee66e9"},
    {3, 3, 1, 10, true, "6ec6038f8bb42b6f"},
    {3, 3, 1, 20, false, "f762458ebe630467"},
    {3, 3, 2, 5, false, "efd80216d7ee66e9"},
    {3, 3, 2, 10, true, "189b244058a90eb8"},
    {3, 3, 2, 20, false, "a873f53c66ea6a2d"},
    {3, 3, 3, 5, false, "b5939d4cd02dc0ec"},
    {3, 3, 3, 10, true, "b5939d4cd02dc0ec"},
    {3, 3, 3, 20, false, "b5939d4cd02dc0ec"},
    {3, 3, 4, 5, false, "b5939d4cd02dc0ec"},
    {3, 3, 4, 10, true, "b5939d4cd02dc0ec"},
    {3, 3, 4, 20, false, "b5939d4cd02dc0ec"},
    {3, 3, 15, 5, false, "b5939d4cd02dc0ec"},
    {3, 3, 15, 10, true, "b5939d4cd02dc0ec"},
    {3, 3, 15, 20, false, "b5939d4cd02dc0ec"},
    {3, 3, 16, 5, false, "a2ba6c4287f5c5e0"},
    {3, 3, 16, 10, true, "79015b5a9c8a1195"},
    {3, 3, 16, 20, false, "8e38767a4bb4b76d"},
    {1, 1, 14, 5, false, "679b1946d3707284"},
    {1, 1, 14, 10, true, "679b1946d3707284"},
    {1, 1, 14, 20, false, "679b1946d3707284"},
    {1, 1, 5, 5, false, "f65d20566a8b1f32"},
    {1, 1, 5, 10, true, "f65d20566a8b1f32"},
    {1, 1, 5, 20, false, "f65d20566a8b1f32"},
    {1, 1, 10, 5, false, "803bb62ff494b819"},
    {1, 1, 10, 10, true, "95b891f47b9a3944"},
    {1, 1, 10, 20, false, "f65d20566a8b1f32"},
    {1, 1, 11, 5, false, "f65d20566a8b1f32"},
    {1, 1, 11, 10, true, "f65d20566a8b1f32"},
    {1, 1, 11, 20, false, "f65d20566a8b1f32"},
    {1, 1, 8, 5, false, "f65d20566a8b1f32"},
    {1, 1, 8, 10, true, "946a2837a747ec35"},
    {1, 1, 8, 20, false, "de93ece8ca03593a"},
    {1, 1, 6, 5, false, "f65d20566a8b1f32"},
    {1, 1, 6, 10, true, "946a2837a747ec35"},
    {1, 1, 6, 20, false, "de93ece8ca03593a"},
    {1, 1, 1, 5, false, "f65d20566a8b1f32"},
    {1, 1, 1, 10, true, "f65d20566a8b1f32"},
    {1, 1, 1, 20, false, "f65d20566a8b1f32"},
    {1, 1, 2, 5, false, "f65d20566a8b1f32"},
    {1, 1, 2, 10, true, "f65d20566a8b1f32"},
    {1, 1, 2, 20, false, "f65d20566a8b1f32"},
    {1, 1, 3, 5, false, "8ae40a3583aef669"},
    {1, 1, 3, 10, true, "8ae40a3583aef669"},
    {1, 1, 3, 20, false, "8ae40a3583aef669"},
    {1, 1, 4, 5, false, "8ae40a3583aef669"},
    {1, 1, 4, 10, true, "8ae40a3583aef669"},
    {1, 1, 4, 20, false, "8ae40a3583aef669"},
    {1, 1, 15, 5, false, "8ae40a3583aef669"},
    {1, 1, 15, 10, true, "8ae40a3583aef669"},
    {1, 1, 15, 20, false, "8ae40a3583aef669"},
    {1, 1, 16, 5, false, "292bd3bd173416dc"},
    {1, 1, 16, 10, true, "841aaa43dda3af6a"},
    {1, 1, 16, 20, false, "8cf575793cce4f74"},
    {224, 200, 14, 5, false, "3d407e5371c0deb5"},
    {224, 200, 14, 10, true, "3d407e5371c0deb5"},
    {224, 200, 14, 20, false, "3d407e5371c0deb5"},
    {224, 200, 5, 5, false, "33cdb1b52bb19607"},
    {224, 200, 5, 10, true, "ea6963288c0e8f28"},
    {224, 200, 5, 20, false, "cdd915fee997e5cf"},
    {224, 200, 10, 5, false, "6906056bcf5ff98e"},
    {224, 200, 10, 10, true, "5c8c9b92ea4fa279"},
    {224, 200, 10, 20, false, "10ecf31d86724eea"},
    {224, 200, 11, 5, false, "9bdeceea3a78e079"},
    {224, 200, 11, 10, true, "10ecf31d86724eea"},
    {224, 200, 11, 20, false, "10ecf31d86724eea"},
    {224, 200, 8, 5, false, "10ecf31d86724eea"},
    {224, 200, 8, 10, true, "0eb2fdf8d67d8db5"},
    {224, 200, 8, 20, false, "569fedf71934daef"},
    {224, 200, 6, 5, false, "10ecf31d86724eea"},
    {224, 200, 6, 10, true, "fd61f57a1b7a9778"},
    {224, 200, 6, 20, false, "5c9367909f01bb31"},
    {224, 200, 9, 5, false, "10ecf31d86724eea"},
    {224, 200, 9, 10, true, "c686d0080939932b"},
    {224, 200, 9, 20, false, "bb70443b974ca1cf"},
    {224, 200, 1, 5, false, "2db9c5a8a37cf455"},
    {224, 200, 1, 10, true, "afad74bbb2a48d0d"},
    {224, 200, 1, 20, false, "98e7827026e9030f"},
    {224, 200, 2, 5, false, "fe32916d5739f88b"},
    {224, 200, 2, 10, true, "b7d2136fa0807741"},
    {224, 200, 2, 20, false, "ababb4887f316f05"},
    {224, 200, 3, 5, false, "249f3d75a0991d8a"},
    {224, 200, 3, 10, true, "6a26fda3853b2dad"},
    {224, 200, 3, 20, false, "7cb9482be84457d5"},
    {224, 200, 4, 5, false, "bd42bb96400fed23"},
    {224, 200, 4, 10, true, "f268c4e871a49d2e"},
    {224, 200, 4, 20, false, "ccfde24969e923aa"},
    {224, 200, 15, 5, false, "a1d25b9cac585ed8"},
    {224, 200, 15, 10, true, "2220d55bea41cb55"},
    {224, 200, 15, 20, false, "cc9f2e563c636899"},
    {224, 200, 16, 5, false, "cda9484e3d71eca9"},
    {224, 200, 16, 10, true, "4526b42752be7850"},
    {224, 200, 16, 20, false, "9b19c0e8c5abd936"},
};

enum { HUE, BLUR, GREY, SOLARIZE, COLOUR };
static const struct {
    size_t width, height;
    int what;
    double by;
    const char *digest;
} parts[] = {
    {40, 30, HUE, -0.5, "7727488ad304a91e"},
    {40, 30, HUE, -0.1, "cabb9eb654f4a361"},
    {40, 30, HUE, 0.05, "a9d20355b2e60e19"},
    {40, 30, HUE, 0.4, "30030de5690a3778"},
    {40, 30, BLUR, 0.1, "5ff860a4df065695"},
    {40, 30, BLUR, 0.7, "b2f0c7561552f102"},
    {40, 30, BLUR, 1.3, "f29a467e7ed31ca7"},
    {40, 30, BLUR, 2.0, "c294f18724d8a6d6"},
    {40, 30, BLUR, 5.5, "800423c527d93ddf"},
    {40, 30, GREY, 0, "0d5189b7d6a2467e"},
    {40, 30, SOLARIZE, 128, "37becb423e61ab4b"},
    {40, 30, COLOUR, 0.0, "0d5189b7d6a2467e"},
    {40, 30, COLOUR, 0.3, "cec713fc550305a7"},
    {40, 30, COLOUR, 1.7, "15159a8873b862fb"},
    {33, 57, HUE, -0.5, "46dcf50b61a45ace"},
    {33, 57, HUE, -0.1, "53b17050db07ad20"},
    {33, 57, HUE, 0.05, "78e79c551687d7c9"},
    {33, 57, HUE, 0.4, "d8c241651da27f6b"},
    {33, 57, BLUR, 0.1, "01380950e2de35de"},
    {33, 57, BLUR, 0.7, "5d3f9c9dfbaf299b"},
    {33, 57, BLUR, 1.3, "bb0ca23ee55ee4e5"},
    {33, 57, BLUR, 2.0, "81f601ab82cb9180"},
    {33, 57, BLUR, 5.5, "8d14e39280b9205c"},
    {33, 57, GREY, 0, "f344230cd1319402"},
    {33, 57, SOLARIZE, 128, "310009afe014bc11"},
    {33, 57, COLOUR, 0.0, "f344230cd1319402"},
    {33, 57, COLOUR, 0.3, "e0607a298ebe7460"},
    {33, 57, COLOUR, 1.7, "82b99910768541c6"},
    {3, 3, HUE, -0.5, "713513d854493e36"},
    {3, 3, HUE, -0.1, "4d40d92406a73986"},
    {3, 3, HUE, 0.05, "8adedaccf10879a0"},
    {3, 3, HUE, 0.4, "00ad9382cbff324d"},
    {3, 3, BLUR, 0.1, "efd80216d7ee66e9"},
    {3, 3, BLUR, 0.7, "38899b884a463149"},
    {3, 3, BLUR, 1.3, "da0c13f15ba474cc"},
    {3, 3, BLUR, 2.0, "f7f5e3337b60928b"},
    {3, 3, BLUR, 5.5, "ee6eb471b2eb8f89"},
    {3, 3, GREY, 0, "ae654bfd0720edb7"},
    {3, 3, SOLARIZE, 128, "efd80216d7ee66e9"},
    {3, 3, COLOUR, 0.0, "ae654bfd0720edb7"},
    {3, 3, COLOUR, 0.3, "f4897aea8acf682f"},
    {3, 3, COLOUR, 1.7, "fbcb96bea56992c1"},
    {1, 1, HUE, -0.5, "a65d04f0598674d7"},
    {1, 1, HUE, -0.1, "36f73018c85af749"},
    {1, 1, HUE, 0.05, "2629169b963ea9dd"},
    {1, 1, HUE, 0.4, "bf4a2a72852dfe6e"},
    {1, 1, BLUR, 0.1, "f65d20566a8b1f32"},
    {1, 1, BLUR, 0.7, "f65d20566a8b1f32"},
    {1, 1, BLUR, 1.3, "f65d20566a8b1f32"},
    {1, 1, BLUR, 2.0, "f65d20566a8b1f32"},
    {1, 1, BLUR, 5.5, "f65d20566a8b1f32"},
    {1, 1, GREY, 0, "04ba7b0a8b7f78bc"},
    {1, 1, SOLARIZE, 128, "f65d20566a8b1f32"},
    {1, 1, COLOUR, 0.0, "04ba7b0a8b7f78bc"},
    {1, 1, COLOUR, 0.3, "ca0cf08e7872d1de"},
    {1, 1, COLOUR, 1.7, "a1e5cb0cfd2f45b0"},
    {224, 200, HUE, -0.5, "0b1ef5f755c0091a"},
    {224, 200, HUE, -0.1, "2aab1d5e00618d58"},
    {224, 200, HUE, 0.05, "2b46dc77d0dc87c2"},
    {224, 200, HUE, 0.4, "be49ac2bcf975c52"},
    {224, 200, BLUR, 0.1, "64ae4d072cd00859"},
    {224, 200, BLUR, 0.7, "f5005e2994c10a40"},
    {224, 200, BLUR, 1.3, "73051a918ca547e7"},
    {224, 200, BLUR, 2.0, "457eafd212101731"},
    {224, 200, BLUR, 5.5, "a2d20a9125f15628"},
    {224, 200, GREY, 0, "d8304b363c5c2857"},
    {224, 200, SOLARIZE, 128, "9bdeceea3a78e079"},
    {224, 200, COLOUR, 0.0, "d8304b363c5c2857"},
    {224, 200, COLOUR, 0.3, "d7daf8af9dbbb997"},
    {224, 200, COLOUR, 1.7, "f313fbc1ab58d727"},
};
/* clang-format on */

#define COUNT(a) (sizeof(a) / sizeof *(a))

START_TEST(operations_are_torchvisions)
{
    const golden_operation *g = &torchvision[_i];
    data_image image = picture_make(g->width, g->height, 3);
    data_scratch scratch = {0};

    ck_assert_int_eq(data_operation_torchvision(&image, g->op, g->magnitude, g->negative,
                                                &scratch, NULL),
                     BASE_OK);
    picture_check(&image, g->digest);
    data_scratch_destroy(&scratch);
    data_image_destroy(&image);
}
END_TEST

START_TEST(operations_are_vmoes)
{
    const golden_operation *g = &vmoe[_i];
    data_image image = picture_make(g->width, g->height, 3);
    const size_t middle[2] = {g->width / 3, g->height / 2};
    data_scratch scratch = {0};

    ck_assert_int_eq(data_operation_vmoe(&image, g->op, g->magnitude, g->negative, middle,
                                         &scratch, NULL),
                     BASE_OK);
    picture_check(&image, g->digest);
    data_scratch_destroy(&scratch);
    data_image_destroy(&image);
}
END_TEST

START_TEST(parts_are_pillows)
{
    data_image image = picture_make(parts[_i].width, parts[_i].height, 3);
    data_scratch scratch = {0};
    const double by = parts[_i].by;

    switch (parts[_i].what) {
    case HUE: data_hue(&image, by); break;
    case BLUR: ck_assert_int_eq(data_blur(&image, by, &scratch, NULL), BASE_OK); break;
    case GREY: data_greyscale(&image); break;
    case SOLARIZE: data_solarize(&image, by); break;
    default: data_saturation(&image, by); break;
    }
    picture_check(&image, parts[_i].digest);
    data_scratch_destroy(&scratch);
    data_image_destroy(&image);
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
    TCase *core = tcase_create("Core");
    TCase *limits = tcase_create("Limits");

    tcase_add_loop_test(core, operations_are_torchvisions, 0, (int)COUNT(torchvision));
    tcase_add_loop_test(core, operations_are_vmoes, 0, (int)COUNT(vmoe));
    tcase_add_loop_test(core, parts_are_pillows, 0, (int)COUNT(parts));
    tcase_add_test(core, policies_change_nearly_every_picture);
    tcase_add_test(core, nothing_asked_draws_nothing);
    tcase_add_test(core, jitter_spreads_brightness_evenly);
    tcase_add_test(limits, grey_and_tiny_pictures_pass_every_policy);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
